"""From measurements to tables."""

import statistics
from dataclasses import dataclass
from typing import Callable


def median(values):
    return statistics.median(values)


def interval(values):
    """The 95 % interval of the median by order statistics; the whole range where there are too few values."""
    ranked, n = sorted(values), len(values)
    tail, skipped = 0.0, 0
    while skipped < n // 2:
        tail += binomial(n, skipped)
        if tail > 0.025:
            break
        skipped += 1
    return (ranked[skipped - 1], ranked[n - skipped]) if skipped else (ranked[0], ranked[-1])


def binomial(n, k):
    """The chance that k of n values lie below their median."""
    result = 1.0
    for i in range(k):
        result = result * (n - i) / (i + 1)
    return result / 2**n


@dataclass(frozen=True)
class Metric:
    """What is read of a run; `None` where the run does not tell it."""

    title: str
    read: Callable
    decimals: int = 0

    def of(self, runs):
        known = [value for value in map(self.read, runs) if value is not None]
        return median(known) if known else None

    def shown(self, runs):
        value = self.of(runs)
        return "–" if value is None else f"{value:,.{self.decimals}f}"


def seen(key):
    return lambda run: run.seen.get(key)


RATE = Metric("requests/s", lambda run: run.per_second)
P99 = Metric("p99", seen("p99"))
LAST = Metric("slowest", seen("max"))
CPU = Metric("CPU µs", lambda run: run.cpu_micros, 2)
LATENCIES = [Metric("p50", seen("p50")), P99, Metric("p99.9", seen("p999")), LAST]
COMPARED = [RATE, *LATENCIES, CPU, Metric("MiB", lambda run: run.memory_mib)]
WAITED = Metric("waited ms/s", lambda run: run.waited_millis)
ORIGIN = Metric("origin", lambda run: run.origin_requests)

KINDS = (("closed", ""), ("paced", ", at a fixed rate"))


class Results:
    """Measurements by scenario, kind of load, proxy and round."""

    def __init__(self, titles, peers):
        self.titles = titles
        self.peers = peers
        self.runs = {}
        self.faults = []

    def add(self, scenario, peer, kind, number, measured):
        self.runs.setdefault((scenario, kind), {}).setdefault(peer, {})[number] = measured

    def by_round(self, scenario, peer, kind="closed"):
        return self.runs.get((scenario, kind), {}).get(peer, {})

    def of(self, scenario, peer, kind="closed"):
        return list(self.by_round(scenario, peer, kind).values())

    def ratios(self, scenario, peer, metric, kind="closed"):
        """The first proxy over `peer`, in each round that both have."""
        ours, theirs = self.by_round(scenario, self.peers[0], kind), self.by_round(scenario, peer, kind)
        pairs = [(metric.read(run), metric.read(theirs[number])) for number, run in ours.items() if number in theirs]
        return [our / their for our, their in pairs if our is not None and their]

    def ratio(self, scenario, peer, metric, kind="closed"):
        ratios = self.ratios(scenario, peer, metric, kind)
        if not ratios:
            return "–"
        low, high = interval(ratios)
        return f"**{median(ratios):.2f}** ({low:.2f}–{high:.2f})"

    def text(self):
        return "\n".join([self.summary(), *(self.tables(scenario) for scenario in self.titles)])

    def summary(self):
        """CPU of all scenarios in one table."""
        ours, *others = self.peers
        lines = [f"### CPU a request: {ours} in µs, and as a multiple of each peer's", ""]
        lines += row("scenario", ours, *others) + row("---", "---:", *["---"] * len(others))
        for scenario, title in self.titles.items():
            ratios = [self.ratio(scenario, peer, CPU) for peer in others]
            lines += row(title, CPU.shown(self.of(scenario, ours)), *ratios)
        return "\n".join(lines) + "\n"

    def tables(self, scenario):
        return "\n".join(
            self.table(scenario, kind, self.titles[scenario] + words)
            for kind, words in KINDS
            if self.runs.get((scenario, kind))
        )

    def table(self, scenario, kind, title):
        """Medians of the rounds, then the medians of the rounds' ratios with their intervals."""
        metrics = [*COMPARED, WAITED, ORIGIN]
        lines = [f"### {title}", "", *row("proxy", *(metric.title for metric in metrics))]
        lines += row("---", *["---:"] * len(metrics))
        for peer in self.peers:
            if runs := self.of(scenario, peer, kind):
                lines += row(peer, *(metric.shown(runs) for metric in metrics))
        others = [peer for peer in self.peers[1:] if self.of(scenario, peer, kind)]
        if others and self.of(scenario, self.peers[0], kind):
            lines += ["", *row(f"{self.peers[0]} over", *(metric.title for metric in COMPARED))]
            lines += row("---", *["---"] * len(COMPARED))
            for peer in others:
                lines += row(peer, *(self.ratio(scenario, peer, metric, kind) for metric in COMPARED))
        return "\n".join(lines) + "\n"

    def raw(self):
        """Every run, for other tools."""
        return {
            f"{scenario}/{kind}/{peer}": [{"round": number, **vars(run)} for number, run in runs.items()]
            for (scenario, kind), by_peer in self.runs.items()
            for peer, runs in by_peer.items()
        }


def row(*cells):
    return ["| " + " | ".join(cells) + " |"]
