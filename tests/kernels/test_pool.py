"""The threads of the compiled sweeps (csrc/pool.cpp), through a CRF's best paths and a layer."""

import ctypes
import os
import re
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

from seqkit import kernels
from seqkit.kernels import crf, native
from seqkit.kernels.cells import Layer
from seqkit.packed import PackedLayout
from seqkit.upstream.torch import openmp_entry

pytestmark = pytest.mark.skipif(kernels.load_library("sweeps") is None, reason="built without a compiler")
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")

SIZES = torch.tensor([9, 7, 6, 4, 4, 2, 1, 1])


@pytest.fixture(params=["torch's threads", "own threads"], autouse=True)
def threads(request):
    """Whose threads run the sweeps."""
    library, entry = kernels.load_library("sweeps"), openmp_entry()
    if request.param == "torch's threads" and entry is None:
        pytest.skip("torch's OpenMP runtime cannot be used here")
    library.seqkit_use_openmp(entry if request.param == "torch's threads" else None)
    yield request.param
    library.seqkit_use_openmp(entry)


def viterbi(threads):
    """The best paths of a CRF, whose sequences are the tasks of a call."""
    library = kernels.load_library("sweeps")
    generator = torch.Generator().manual_seed(0)
    length, batch, num_tags = len(SIZES), int(SIZES[0]), 30
    scores = torch.randn(int(SIZES.sum()), num_tags, dtype=torch.float64, generator=generator)
    start, end = torch.randn(2, num_tags, dtype=torch.float64, generator=generator)
    transitions = torch.randn(num_tags, num_tags, dtype=torch.float64, generator=generator)
    tags, best = torch.empty(len(scores), dtype=torch.long), torch.empty(batch, dtype=torch.float64)
    arrays = (scores, start, transitions, end, tags, best)
    library.seqkit_crf_viterbi(
        length, batch, num_tags, SIZES.data_ptr(), threads, *(array.data_ptr() for array in arrays)
    )
    return [tags.tolist(), best.tolist()]


def lstm(threads):
    """The output of an LSTM in two directions and the gradients of its gates; no products of torch."""
    generator = torch.Generator().manual_seed(0)
    layout, units = PackedLayout(SIZES), 24
    data = torch.randn(layout.num_tokens, 5, generator=generator)
    weights = [torch.randn(4 * units, n, generator=generator) * 0.2 for n in (5, units) * 2]
    layer = Layer("LSTM", layout, [torch.zeros(2, 9, units)] * 2, weights)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "get_num_threads", lambda: threads)
        output, final, saved = native.forward(layer, data, keep=True)
        slots = native.backward(layer, output, saved, [output, *final]).slots
    return [output.tolist(), slots.tolist()]


@pytest.mark.parametrize("run", [viterbi, lstm])
def test_threads_come_and_go(run):
    expected = run(1)
    for threads in (2, 4, 8, 3, 1, 2, 16, 2):
        assert run(threads) == expected


def test_calls_of_many_python_threads():
    expected = [viterbi(1), lstm(1)]
    with ThreadPoolExecutor(8) as threads:
        found = threads.map(lambda call: [viterbi(2 + call % 3), lstm(2 + call % 3)], range(64))
    assert all(result == expected for result in found)


@pytest.mark.skipif(openmp_entry() is None, reason="torch's OpenMP runtime cannot be used here")
def test_inside_a_parallel_region_of_openmp():
    """There the runtime gives a call fewer threads than it asks for: its own one."""
    expected, found = viterbi(1), []
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
    parallel = ctypes.CFUNCTYPE(None, function, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)(openmp_entry())
    parallel(function(lambda _: found.append(viterbi(3))), None, 2, 0)
    assert found == [expected] * 2


def _same_in_child(expected):
    """Fork, run with several threads in the child, and compare."""
    child = os.fork()
    if child == 0:
        signal.alarm(60)  # a deadlock ends the child with an error
        os._exit(0 if [viterbi(3), lstm(2)] == expected else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@forks
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_forks_during_calls_of_other_threads():
    expected = [viterbi(1), lstm(1)]
    stopped = False

    def calls():
        while not stopped:
            viterbi(3)

    with ThreadPoolExecutor(2) as threads:
        running = [threads.submit(calls) for _ in range(2)]
        try:
            assert all(_same_in_child(expected) for _ in range(20))
        finally:
            stopped = True
        assert [call.result() for call in running] == [None, None]
    assert [viterbi(2), lstm(3)] == expected


@forks
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_child_of_a_child():
    expected = [viterbi(2), lstm(2)]
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        first = [viterbi(2), lstm(2)] == expected
        os._exit(0 if first and _same_in_child(expected) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


class _Results(torch.utils.data.Dataset):
    """Runs a layer and a CRF with several threads in the workers of a loader."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return [viterbi(2 + index), lstm(2 + index)]


@forks
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_in_the_workers_of_a_loader():
    expected = [viterbi(2), lstm(2)]
    loader = DataLoader(_Results(), batch_size=None, num_workers=2, multiprocessing_context="fork", timeout=60)
    assert list(loader) == [expected] * 4


def test_all_threads_treat_subnormal_numbers_alike():
    layout, num_tags = PackedLayout(SIZES), 3
    tiny = torch.full((layout.num_tokens, num_tags), 1e-310, dtype=torch.float64)
    ones = torch.ones(num_tags, dtype=torch.float64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "get_num_threads", lambda: 4)
        for flush in (False, True, False):
            if not torch.set_flush_denormal(flush):
                pytest.skip("this processor cannot flush subnormal numbers")
            try:
                for _ in range(20):
                    _, norms = crf.forward(tiny, layout, ones, torch.ones(3, 3, dtype=torch.float64), ones)
                    assert set((norms[: SIZES[0]] > 0).tolist()) == {not flush}
            finally:
                torch.set_flush_denormal(False)


def test_exhausted_memory_is_an_error():
    library, sizes = kernels.load_library("sweeps"), (ctypes.c_int64 * 1)(4)
    too_many = 2**59  # more tags than there are addresses; each of the four tasks allocates an array of this size
    for threads in (1, 2):
        with pytest.raises(MemoryError, match="seqkit_crf_viterbi needs more memory than there is; use smaller"):
            library.seqkit_crf_viterbi(1, 4, too_many, ctypes.addressof(sizes), threads, *[None] * 6)
    assert viterbi(2) == viterbi(1)


# Fills arrays with a call on several threads, in a process that has neither torch nor numpy and ends soon.
AT_EXIT = """
    import ctypes, sys, threading, time
    library = ctypes.CDLL(sys.argv[1])
    Int, Pointer = ctypes.c_int64, ctypes.c_void_p
    library.seqkit_crf_viterbi.argtypes = [Int, Int, Int, Pointer, ctypes.c_int, *[Pointer] * 6]
    if sys.argv[3]:
        library.seqkit_use_openmp(ctypes.cast(ctypes.CDLL(sys.argv[3]).GOMP_parallel, Pointer))

    def call(tags=40, steps=200, batch=8):
        sizes = (ctypes.c_int64 * steps)(*[batch] * steps)
        doubles = [(ctypes.c_double * n)() for n in (steps * batch * tags, tags, tags**2, tags)]
        results = (ctypes.c_int64 * (steps * batch))(), (ctypes.c_double * batch)()
        arrays = [ctypes.addressof(array) for array in (sizes, *doubles, *results)]
        assert library.seqkit_crf_viterbi(steps, batch, tags, arrays[0], 4, *arrays[1:]) == 0

    def calls():
        while True:
            call()

    call()
    for _ in range(int(sys.argv[2])):
        threading.Thread(target=calls, daemon=True).start()
    time.sleep(0.05)
"""


def _openmp_runtimes():
    """The files of the OpenMP runtimes in this process."""
    files = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines()}
    return [file for file in files if re.search(r"lib(g|i?)omp\d?[-.]", file)]


@pytest.mark.parametrize("daemons", [0, 1, 3])
def test_the_interpreter_ends_quietly(daemons, threads):
    library = kernels.load_library("sweeps")._name
    runtime = _openmp_runtimes()[0] if threads == "torch's threads" else ""
    for _ in range(3):
        command = [sys.executable, "-c", textwrap.dedent(AT_EXIT), library, str(daemons), runtime]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_torch_has_the_only_openmp_runtime():
    assert len(_openmp_runtimes()) == 1
