
from seqkit.data.collate import PackCollate as PackCollate
from seqkit.data.lengths import lengths as lengths
from seqkit.data.ragged import RaggedRows as RaggedRows
