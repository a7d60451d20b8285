"""From measurements to tables, and to a picture."""

import statistics
from xml.sax.saxutils import escape

COLOURS = ["#0b7285", "#4c6ef5", "#f08c00", "#c2255c", "#5c940d", "#868e96", "#7048e8"]


def median(values):
    return statistics.median(values)


def interval(values):
    """The 95 % interval of the median by order statistics; the whole range where there are too few values."""
    ranked, n = sorted(values), len(values)
    tail, skipped = 0.0, 0
    while skipped < n // 2:
        tail += statistics_binomial(n, skipped)
        if tail > 0.025:
            break
        skipped += 1
    return ranked[max(skipped - 1, 0)], ranked[min(n - skipped, n - 1)] if skipped else ranked[-1]


def statistics_binomial(n, k):
    result = 1.0
    for i in range(k):
        result = result * (n - i) / (i + 1)
    return result / 2**n


class Results:
    """Measurements by scenario and proxy, in the order of the rounds."""

    def __init__(self, scenarios, peers):
        self.scenarios = scenarios
        self.peers = peers
        self.runs = {}
        self.faults = []

    def add(self, scenario, peer, kind, measured):
        self.runs.setdefault((scenario, kind), {}).setdefault(peer, []).append(measured)

    def of(self, scenario, peer, kind="closed"):
        return self.runs.get((scenario, kind), {}).get(peer, [])

    def ratios(self, scenario, peer, read, kind="closed"):
        """The first proxy over `peer`, round by round."""
        pairs = zip(self.of(scenario, self.peers[0], kind), self.of(scenario, peer, kind))
        return [read(ours) / read(theirs) for ours, theirs in pairs if read(theirs)]

    def tables(self, titles):
        return "\n".join(self.table(scenario, titles[scenario]) for scenario in self.scenarios)

    def table(self, scenario, title):
        lines = [f"### {title}", "", "| proxy | requests/s | p50 | p99 | p99.9 | CPU µs | CPU ratio | origin | MiB |"]
        lines.append("|---|---:|---:|---:|---:|---:|---|---:|---:|")
        for kind, label in (("closed", ""), ("paced", " at a fixed rate")):
            for peer in self.peers:
                runs = self.of(scenario, peer, kind)
                if runs:
                    lines.append(self.row(scenario, peer, kind, label, runs))
        return "\n".join(lines) + "\n"

    def row(self, scenario, peer, kind, label, runs):
        def middle(read):
            return median([read(run) for run in runs])

        def latency(key):
            known = [run.seen[key] for run in runs if key in run.seen]
            return f"{median(known):,.0f}" if known else "–"

        ratio = "1" if peer == self.peers[0] else ""
        ratios = self.ratios(scenario, peer, lambda run: run.cpu_micros, kind)
        if ratios and peer != self.peers[0]:
            low, high = interval(ratios)
            ratio = f"**{median(ratios):.2f}** ({low:.2f}–{high:.2f})"
        cells = [
            peer + label,
            f"{middle(lambda run: run.per_second):,.0f}",
            latency("p50"),
            latency("p99"),
            latency("p999"),
            f"{middle(lambda run: run.cpu_micros):.2f}",
            ratio,
            f"{middle(lambda run: run.origin_requests):,.0f}",
            f"{middle(lambda run: run.memory_mib):.0f}",
        ]
        return "| " + " | ".join(cells) + " |"


def svg(results, titles):
    """Proxy CPU a request, one group of bars a scenario; each bar with its value and its multiple of ours."""
    bar, gap, left, width = 18, 26, 150, 560
    parts, y = [], 60
    for scenario in results.scenarios:
        shown = [(peer, results.of(scenario, peer)) for peer in results.peers]
        shown = [(peer, median([run.cpu_micros for run in runs])) for peer, runs in shown if runs]
        if not shown:
            continue
        most = max(value for _, value in shown)
        parts.append(f'<text x="10" y="{y}" font-weight="bold">{escape(titles[scenario])}</text>')
        y += 8
        for peer, value in shown:
            length = max(width * value / most, 1)
            colour = COLOURS[results.peers.index(peer) % len(COLOURS)]
            parts.append(f'<text x="{left - 8}" y="{y + 13}" text-anchor="end">{escape(peer)}</text>')
            parts.append(f'<rect x="{left}" y="{y}" width="{length:.0f}" height="{bar - 3}" fill="{colour}"/>')
            parts.append(f'<text x="{left + length + 6:.0f}" y="{y + 13}">{value:.1f} µs{multiple(value, shown)}</text>')
            y += bar
        y += gap
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 860 {y}" font-family="sans-serif" font-size="13">\n'
        f'<rect width="860" height="{y}" fill="white"/>\n'
        '<text x="10" y="26" font-size="16">Proxy CPU a request, one core (less is better)</text>\n'
    )
    return head + "\n".join(parts) + "\n</svg>\n"


def multiple(value, shown):
    ours = shown[0][1]
    return "" if value == ours or not ours else f" (×{value / ours:.2f})"
