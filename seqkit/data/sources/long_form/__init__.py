"""Tables in long form, one row a step, whose rows become sequences."""
