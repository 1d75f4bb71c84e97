"""What tests of Lightning's private attributes share."""

import lightning

CHANGED = f"lightning {lightning.__version__} differs from 2.6.6: adapt seqkit.upstream.lightning.{{}}"
