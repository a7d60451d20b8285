"""A picture of the results: processor time, throughput and latency side by side, a group of bars for each scenario."""

from xml.sax.saxutils import escape

from .report import CPU, P99, RATE

COLOURS = ["#0b7285", "#4c6ef5", "#f08c00", "#c2255c", "#5c940d", "#868e96", "#7048e8"]

BAR, GAP, LEFT, WIDTH, LABEL = 18, 30, 120, 220, 130


def columns(results, scenario):
    """What is drawn: a title, a metric, and the kind of load that it is read of."""
    pace = "paced" if results.runs.get((scenario, "paced")) else "closed"
    words = "p99 µs at a fixed rate" if pace == "paced" else "p99 µs"
    return [("CPU µs a request", CPU, "closed"), ("requests/s (more is better)", RATE, "closed"), (words, P99, pace)]


def svg(results):
    """Each bar has its value, and the multiple of ours that it is."""
    parts, y = [], 66
    for scenario, title in results.titles.items():
        shown = [peer for peer in results.peers if results.of(scenario, peer)]
        if not shown:
            continue
        parts.append(text(10, y, title, 'font-weight="bold"'))
        for at, (words, metric, kind) in enumerate(columns(results, scenario)):
            x = LEFT + at * (WIDTH + LABEL)
            parts.append(text(x, y + 16, words, 'fill="#666"'))
            parts += bars(results, scenario, shown, x, y + 22, metric, kind)
        parts += [
            text(LEFT - 8, y + 35 + BAR * at, peer, 'text-anchor="end"') for at, peer in enumerate(shown)
        ]
        y += 22 + BAR * len(shown) + GAP
    width = LEFT + 3 * (WIDTH + LABEL)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y}" font-family="sans-serif" font-size="12">\n'
        f'<rect width="{width}" height="{y}" fill="white"/>\n'
    )
    title = f"{results.peers[0]} and its peers, one core: medians of the rounds"
    return head + text(10, 28, title, 'font-size="16"') + "\n" + "\n".join(parts) + "\n</svg>\n"


def bars(results, scenario, peers, x, y, metric, kind):
    values = [metric.of(runs) if (runs := results.of(scenario, peer, kind)) else None for peer in peers]
    most = max((value for value in values if value), default=None)
    if not most:
        return
    ours = values[0] if peers[0] == results.peers[0] else None
    for at, (peer, value) in enumerate(zip(peers, values)):
        if value is None:
            continue
        length, top = max(WIDTH * value / most, 1), y + BAR * at
        colour = COLOURS[results.peers.index(peer) % len(COLOURS)]
        yield f'<rect x="{x}" y="{top}" width="{length:.0f}" height="{BAR - 3}" fill="{colour}"/>'
        multiple = f" (×{value / ours:.2f})" if ours and at else ""
        yield text(round(x + length + 5), top + 12, f"{value:,.{1 if value < 1000 else 0}f}{multiple}")


def text(x, y, words, more=""):
    return f'<text x="{x}" y="{y}" {more}>{escape(words)}</text>'
