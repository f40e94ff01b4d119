"""What each audit is, for the page on them: what is done, why, what is required, and what time it costs. Words only."""

from __future__ import annotations

from typing import NamedTuple


class Words(NamedTuple):
    """Of one audit: what is done and why; what is required; what it costs."""

    what: str
    required: str
    cost: str


#: "t" is the grade's audit window: 0.3 s at smoke, 5 s at nightly, 30 s at official.
WORDS: dict[str, Words] = {
    "same-outputs": Words(
        "The outputs of a subset of timed requests, chosen by a seed, are copied when they are handed over and compared with the "
        "accuracy phase's for the same samples; at the window's end what the plug-in still holds is compared with the copy. "
        "It shows that the network which is timed is the one which is scored (MLPerf's TEST01).",
        "relative distance at most 0.05, and nothing changed after it was handed over",
        "none",
    ),
    "repeated-sample": Words(
        "The measured load in turn with samples that are all different and with one sample in all their places. Whoever "
        "remembers answers is faster at the second (MLPerf's TEST04).",
        "one sample repeated is at most 10% faster, at the lower end of the interval; on the host's own processor at most twice "
        "as fast, since it learns the branches of what comes again",
        "2 t",
    ),
    "other-seeds": Words(
        "The measured seeds in turn with seeds that nobody can know beforehand. Whoever recognises the sequence of samples is "
        "faster at the first (MLPerf's TEST05).",
        "the measured seeds are at most 10% faster, at the lower end of the interval",
        "2 t",
    ),
    "batch-work": Words(
        "Batches of 1, 2, 4 … different samples up to the largest the executor takes. Each row must be what its sample gave in "
        "the accuracy phase, and more rows must not take less time: else rows are left out.",
        "every row right, no batch below 0.9 of the time of one sample, none faster than a declared peak allows",
        "t",
    ),
    "fresh-inputs": Words(
        "Inputs that the bundle does not have, drawn by a seed that follows from the trace. After the worker's end the CPU "
        "reference answers them too. A table of the bundle's samples has nothing for them, and a cache of answers is slow.",
        "outputs follow the reference as they do on known samples, and fresh inputs take at most 10% longer, at the lower end of "
        "the interval (on the host's own processor at most twice as long)",
        "2 t, and the reference's time for 24 inputs",
    ),
    "perturbed-weights": Words(
        "One weight tensor, chosen by a seed, is permuted; the plug-in compiles, loads and runs that model after the measured "
        "one is closed. Whoever runs a network of its own, or knows only the one model, answers as before or not at all.",
        "outputs nearer to the changed model's than to the original's",
        "a compilation, a load, and the reference's time for some inputs",
    ),
    "declared-precision": Words(
        "The reference's weights and inputs are rounded to the next lower precision, which shows what that costs this model. "
        "A run that says FP32 and lies as far off has lowered its precision unsaid, or runs a smaller network.",
        "median distance to the reference at most a quarter of what 10 bits of mantissa cost (FP32), or 0.6 of what 7 bits cost "
        "(FP16); 8-bit formats are left to the accuracy gate",
        "the reference's time for 24 inputs, twice",
    ),
    "roofline": Words(
        "Counted operations × throughput against the peak of dense arithmetic that the maker declares. No device is faster.",
        "at most 100% of the declared peak, at the lower end of the interval; not carried out where no peak is declared",
        "none",
    ),
    "own-process": Words(
        "The functions of Python's clocks, of LoadGen and of the harness are looked at before the plug-in is loaded and after "
        "the window, by identity and code; the clock is held against the kernel's; files of the bundle that only the judge "
        "needs are watched; CPU time after close is counted.",
        "nothing replaced, clock within 50 µs, nothing opened, below 0.25 cores at work after close",
        "a rest of 0.5 s",
    ),
    "host-work": Words(
        "CPU time, and the time threads waited for a core, while requests are in flight, against the device's power. A device "
        "that idles while the host's cores are busy does not do the work. Not carried out where the device is the host's own "
        "processor; where there is no power sensor it cannot be told, since drivers may spin.",
        "below 0.9 cores, or a device that draws more than when idle, beyond both intervals",
        "none",
    ),
    "idle-baseline": Words(
        "After close the device rests for as long as the idle baseline lasted. A baseline at higher power would flatter "
        "the energy above idle, which is then left out of the record.",
        "a baseline at most 25% above the rest, beyond both intervals; a failed one is a warning",
        "0.5 s and the baseline's length",
    ),
}
