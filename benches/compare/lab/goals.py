"""What Bookend is to reach beside its peers: each line is compared with the median of the paired rounds."""

from dataclasses import dataclass

from .report import CPU, LAST, P99, RATE, Metric, interval, median


@dataclass(frozen=True)
class Goal:
    scenario: str
    # `None` is for every peer.
    peer: str | None
    metric: Metric
    # At most this multiple of the peer's; at least, where `more` is better.
    bound: float
    more: bool = False

    def lines(self, results):
        """A line for each peer that was measured: whether it is reached, and what was."""
        for peer in results.peers[1:]:
            ratios = results.ratios(self.scenario, peer, self.metric)
            if self.peer in (None, peer) and ratios:
                middle, (low, high) = median(ratios), interval(ratios)
                reached = middle >= self.bound if self.more else middle <= self.bound
                yield (
                    f"| {'yes' if reached else 'NO'} | {results.titles[self.scenario]} | {self.metric.title} |"
                    f" {'at least' if self.more else 'at most'} {self.bound:.2f} of {peer}'s |"
                    f" {middle:.2f} ({low:.2f}–{high:.2f}) |"
                )


GOALS = [
    Goal("hit", "haproxy", CPU, 0.90),
    Goal("hit", "nginx", CPU, 0.65),
    Goal("hit", None, RATE, 1.0, more=True),
    Goal("hit", None, P99, 1.0),
    Goal("browser", "haproxy", CPU, 0.95),
    Goal("304", "nginx", CPU, 0.85),
    Goal("keys", "haproxy", CPU, 0.90),
    Goal("large", "haproxy", CPU, 1.0),
    Goal("large", "varnish", CPU, 1.0),
    Goal("large", "trafficserver", CPU, 1.0),
    Goal("miss", "haproxy", CPU, 1.30),
    Goal("miss", "nginx", CPU, 1.30),
    Goal("herd", None, LAST, 1.0),
]


def table(results):
    lines = [line for goal in GOALS if goal.scenario in results.titles for line in goal.lines(results)]
    if not lines:
        return ""
    head = ["### Goals", "", "| reached | scenario | of | bound | ratio |", "|---|---|---|---|---|"]
    return "\n".join(head + lines) + "\n\n"
