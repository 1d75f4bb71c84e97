"""seqkit: recurrent nets on sequences of different lengths, packed from the dataset to the loss."""
