"""What `scripts/compare` makes of its runs: medians over rounds, percentiles
over all messages of all rounds, and the tables that people read."""
import math
import statistics

DEPTHS = [1, 4, 16, 64]
SHARES = [0.10, 0.50, 0.90]
# A percentile q wants 10 / (1 - q) messages; copies of one message are not independent.
MESSAGES = {0.5: 20, 0.99: 1000}
GENERATOR_SHARE_INVALID = 0.90
# Below this a difference is not called a win.
NOISE = 0.03
# Above this share of others on its core a server's latencies are theirs too.
DISTURBED = 0.05


def invalid_gates(report):
    return [gate for gate in report["gates"] if gate["state"] == "invalid"]


def judge(report, generator_ceiling):
    """Why a run's latencies say nothing of the server; '' if they do."""
    gates = invalid_gates(report)
    own = [gate for gate in gates if "alive" not in gate["name"]]
    if own:
        return "gen: " + ", ".join(f"{gate['name']} {gate['value']}" for gate in own)
    if gates:
        return "members lost: " + gates[0]["value"]
    if generator_ceiling and not report["setup"]["in_flight"]:
        share = report["traffic"]["delivered_per_second"] / generator_ceiling
        if share > GENERATOR_SHARE_INVALID:
            return f"gen: {share:.0%} of what the generator can receive"
    return ""


def busiest_thread(report):
    loads = [(thread["cpu_ns"] + thread["waiting_ns"]) / max(thread["wall_ns"], 1) for thread in report["threads"]]
    return max(loads, default=0.0)


def closed_figures(report):
    """What one closed-loop run says."""
    server = report["server"]
    return {
        "copies_per_second": report["traffic"]["delivered_per_second"],
        "ns_per_copy": server["ns_per_copy"],
        "server_utilisation": server["utilisation"],
        "generator_busiest": busiest_thread(report),
        "lost": report["loss"]["lost"],
        "rss_before": server["rss_before"],
        "rss_joined": server["rss_joined"],
    }


def open_figures(report):
    """What one open-loop run says; the histogram is kept to pool rounds."""
    last = next(row for row in report["latency"] if row["name"] == "last receiver")
    return {
        "messages": report["traffic"]["sent"],
        "expected": report["traffic"]["expected"],
        "lost": report["loss"]["lost"],
        "last_p50_ns": last["quantiles"][0],
        "ns_per_copy": report["server"]["ns_per_copy"],
        "generator_busiest": busiest_thread(report),
        "histogram": report["delivery_histogram"],
    }


def median(values):
    values = [value for value in values if isinstance(value, (int, float))]
    return statistics.median(values) if values else None


def summarise_closed(runs):
    """One depth of one server over its rounds."""
    good = [run for run in runs if not run.get("reason")]
    if not good:
        return {"reason": runs[0]["reason"] if runs else "not run"}
    summary = {key: median(run[key] for run in good) for key in good[0]}
    # The generator, not the server, was at its end: the rate is "at least".
    summary["at_least"] = summary["generator_busiest"] > 0.8 and summary["server_utilisation"] < 0.9
    summary["rounds"] = len(good)
    return summary


def server_ceiling(depths):
    """Copies a second of one core at the cheapest copy that was seen."""
    costs = [depth["ns_per_copy"] for depth in depths.values() if depth.get("ns_per_copy")]
    return 1e9 / min(costs) if costs else None


def pooled_quantile(runs, q):
    """Over all copies of all rounds, lost ones being infinitely late."""
    if sum(run["messages"] for run in runs) < MESSAGES[q]:
        return None
    counts = {}
    for run in runs:
        for value, count in run["histogram"]:
            counts[value] = counts.get(value, 0) + count
    rank, seen = math.ceil(q * sum(run["expected"] for run in runs)), 0
    for value in sorted(counts):
        seen += counts[value]
        if seen >= rank:
            return value
    return "inf"


def summarise_open(runs):
    """One share of one server over its rounds."""
    good = [run for run in runs if not run.get("reason")]
    if not good:
        return {"reason": runs[0]["reason"] if runs else "not run"}
    return {
        "p50_ns": pooled_quantile(good, 0.5),
        "p99_ns": pooled_quantile(good, 0.99),
        "last_p50_ns": median(run["last_p50_ns"] for run in good),
        "ns_per_copy": median(run["ns_per_copy"] for run in good),
        "messages": sum(run["messages"] for run in good),
        "lost": sum(run["lost"] for run in good),
        "rounds": len(good),
    }


# How numbers are shown: three digits that count.

def show_rate(value):
    if value is None:
        return "-"
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g}{unit}" if value < 1000 * size else f"{value / size:.0f}{unit}"
    return f"{value:.3g}"


def show_ns(value):
    if value is None:
        return "-"
    if value == "inf":
        return "lost"
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {unit}" if value < 999.5 * size else f"{value / size:.0f} {unit}"
    return f"{value:.0f} ns"


def show_bytes(value):
    return "-" if value is None else f"{value / (1 << 20):.1f} MiB"


def short(reason):
    return "gen" if reason.startswith("gen") else "-"


def cell(summary, key, show):
    if summary is None or summary.get("reason"):
        return short((summary or {}).get("reason", "-"))
    return show(summary.get(key))


def table(head, rows):
    widths = [max(len(str(row[at])) for row in [head, *rows]) for at in range(len(head))]
    pad = lambda row: "  ".join(
        str(value).ljust(width) if at == 0 else str(value).rjust(width) for at, (value, width) in enumerate(zip(row, widths)))
    return [pad(head).rstrip(), *(pad(row).rstrip() for row in rows)]


def closed_rows(results, key, show):
    for result in results:
        cells = []
        for depth in DEPTHS:
            summary = result["closed"].get(str(depth))
            text = cell(summary, key, show)
            at_least = key == "copies_per_second" and summary and summary.get("at_least")
            cells.append(">= " + text if at_least else text)
        yield [result["label"], *cells]


def open_rows(results):
    for result in results:
        for share in SHARES:
            summary = result["open"].get(f"{share:.2f}")
            yield [
                result["label"], f"{share:.0%}", show_rate((summary or {}).get("rate")),
                *(cell(summary, key, show_ns) for key in ("p50_ns", "p99_ns", "last_p50_ns")),
            ]


def ceiling_rows(results):
    for result in results:
        yield [result["label"], show_rate(result.get("server_ceiling")), show_rate(result.get("generator_ceiling")),
               result.get("lower") or "-"]


def memory_rows(results):
    for result in results:
        memory = result["rss"]
        yield [result["label"], *(show_bytes(memory.get(key)) for key in ("empty", "1000", "10000"))]


def text(report):
    """The whole result for people."""
    results = report["results"]
    depths = [f"{depth} in flight" for depth in DEPTHS]
    lines = [
        "What one copy of a message costs: the same rooms, the same messages, one server core.",
        f"{report['members']} members, 64-byte messages, 50 senders, {report['rounds']} rounds in turn; median of the rounds.",
        "",
        "Deliveries per second, closed loop (>=: the generator was at its end, the server was not)",
        *table(["", *depths], list(closed_rows(results, "copies_per_second", show_rate))),
        "",
        "ns of server CPU per delivered copy, closed loop",
        *table(["", *depths], list(closed_rows(results, "ns_per_copy", lambda value: f"{value:.0f}"))),
        "",
        "Ceilings, copies per second: the server's (one core at its cheapest copy above), the generator's (calibrated, or seen above)",
        *table(["", "server", "generator", "the lower"], list(ceiling_rows(results))),
        "",
        "Latency from the planned time, open loop (poisson), at shares of the lower ceiling",
        *table(["", "share", "messages/s", "p50", "p99", "last receiver p50"], list(open_rows(results))),
        "gen: the run failed the self-check, so it says nothing of the server. p99 `-`: fewer than 1000 messages.",
        "",
        "Resident memory of the server (the kernel's socket buffers are not in it; TCP has one pair per member)",
        *table(["", "empty", "1,000 members", "10,000 members"], list(memory_rows(results))),
        "",
        *wins(results),
        "",
        *notes(report),
    ]
    return "\n".join(lines) + "\n"


def wins(results):
    """Every figure in which somebody beats the first row, in words."""
    own, others = results[0], [result for result in results[1:] if not result["key"].startswith("outcry")]
    lines = []
    for other in others:
        lines += [f"  {other['label']}: {what}" for what in better(own, other)]
    return [f"Where others beat {own['label']} (by more than {NOISE:.0%}):", *(lines or ["  nowhere in this run"])]


def better(own, other):
    for depth in map(str, DEPTHS):
        pair = own["closed"].get(depth, {}), other["closed"].get(depth, {})
        if beats(pair, "copies_per_second", higher=True):
            yield f"{show_rate(pair[1]['copies_per_second'])} deliveries/s against " \
                  f"{show_rate(pair[0]['copies_per_second'])} at {depth} in flight"
        if beats(pair, "ns_per_copy"):
            yield f"{pair[1]['ns_per_copy']:.0f} ns of CPU per copy against {pair[0]['ns_per_copy']:.0f} at {depth} in flight"
    for share in (f"{share:.2f}" for share in SHARES):
        pair = own["open"].get(share, {}), other["open"].get(share, {})
        for key, name in (("p50_ns", "p50"), ("p99_ns", "p99"), ("last_p50_ns", "last receiver")):
            if beats(pair, key):
                rates = [side["rate"] for side in pair]
                which = "its own, lower rate" if rates[1] < rates[0] else "a higher rate"
                yield f"{name} {show_ns(pair[1][key])} against {show_ns(pair[0][key])} at {float(share):.0%}, " \
                      f"{which} ({show_rate(rates[1])} against {show_rate(rates[0])} messages/s)"
    for key in ("empty", "1000", "10000"):
        pair = own["rss"], other["rss"]
        if beats(pair, key):
            yield f"{show_bytes(pair[1][key])} of memory against {show_bytes(pair[0][key])}, " \
                  f"{'nobody in' if key == 'empty' else key + ' members'}"


def beats(pair, key, higher=False):
    own, other = (side.get(key) for side in pair)
    if not isinstance(own, (int, float)) or not isinstance(other, (int, float)):
        return False
    if own <= 0 or other <= 0:
        return False
    return other > own * (1 + NOISE) if higher else other < own * (1 - NOISE)


def quietness(report):
    """Whether the server had its core to itself: no gate of the generator sees that."""
    shares = sorted(report["others_on_server_core"])
    if not shares:
        return "quiet     - (nothing ran)"
    disturbed = sum(share > DISTURBED for share in shares)
    return (f"quiet     others used {shares[len(shares) // 2]:.0%} of the server's core in the median run, {shares[-1]:.0%} in "
            f"the worst; more than {DISTURBED:.0%} in {disturbed} of {len(shares)} runs")


def notes(report):
    machine = report["machine"]
    lines = [
        f"machine   {machine['processor']}, {machine['cores']} cores, {machine['memory']}, Linux {machine['kernel']}",
        f"          load when it began {machine['load']}; server on core {report['server_core']}, "
        f"generator from core {report['generator_core']} on",
        quietness(report),
        f"commit    {machine['commit']}, {report['date']}, {report['elapsed_seconds']:.0f} s",
        f"command   {report['command']}",
    ]
    for result in report["results"]:
        lines.append(f"{result['label']}: " + "; ".join(filter(None, [result["version"], result["note"]])))
        lines += [f"  {reason}" for reason in reasons(result)]
    return lines


def reasons(result):
    """Why cells are empty, each said once."""
    if result.get("reason"):
        return [result["reason"]]
    named = [(f"{depth} in flight", summary) for depth, summary in result["closed"].items()]
    named += [(f"{float(share):.0%}", summary) for share, summary in result["open"].items()]
    named += [("10,000 members", result["rss"])]
    return [f"{name}: {summary['reason']}" for name, summary in named if summary.get("reason")]
