"""The picture of `scripts/compare`: cost of a copy and deliveries against
messages in flight, as one self-contained SVG."""
import math
from html import escape

COLOURS = ["#0072b2", "#d55e00", "#cc79a7", "#e69f00", "#009e73", "#7a3db8", "#555555", "#8c510a"]
WIDTH, HEIGHT = 980, 470
PANEL = {"width": 340, "height": 300, "top": 70}


def svg(report, depths):
    left = panel(report["results"], depths, 70, "ns_per_copy", "ns of server CPU per copy (lower is better)")
    right = panel(report["results"], depths, 540, "copies_per_second", "deliveries per second (higher is better)")
    machine = report["machine"]
    caption = f"{report['members']} members, 64 bytes, one server core; {machine['processor']}, Linux {machine['kernel']}, {report['date']}"
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="70" y="26" font-size="17" fill="#111111">What a copy costs, by messages in flight</text>',
        f'<text x="70" y="44" fill="#555555">{escape(caption)}</text>',
        *left, *right, *legend(report["results"]), "</svg>", "",
    ])


def series(result, depths, key):
    for depth in depths:
        value = result["closed"].get(str(depth), {}).get(key)
        if value:
            yield depth, value


def panel(results, depths, left, key, title):
    values = [value for result in results for _, value in series(result, depths, key)]
    if not values:
        return [f'<text x="{left}" y="{PANEL["top"] + 20}">no numbers: {escape(title)}</text>']
    low, high = 10 ** math.floor(math.log10(min(values))), 10 ** math.ceil(math.log10(max(values) * 1.001))
    across = lambda depth: left + PANEL["width"] * math.log(depth / depths[0]) / math.log(depths[-1] / depths[0])
    up = lambda value: PANEL["top"] + PANEL["height"] * (1 - math.log(value / low) / math.log(high / low))
    parts = [f'<text x="{left}" y="{PANEL["top"] - 8}" fill="#111111">{escape(title)}</text>']
    parts += [line for tick in ticks(low, high) for line in rule(left, up(tick), tick)]
    foot = PANEL["top"] + PANEL["height"]
    parts += [f'<text x="{across(depth):.1f}" y="{foot + 18}" text-anchor="middle" fill="#555555">{depth}</text>' for depth in depths]
    parts.append(f'<text x="{left + PANEL["width"] / 2}" y="{foot + 36}" text-anchor="middle" fill="#555555">messages in flight</text>')
    for result, colour in zip(results, COLOURS):
        points = [(across(depth), up(value)) for depth, value in series(result, depths, key)]
        parts += curve(points, colour, result["label"], wide=result is results[0])
    return parts


def ticks(low, high):
    decade = low
    while decade <= high:
        yield from (decade * step for step in (1, 2, 5) if decade * step <= high)
        decade *= 10


def rule(left, at, value):
    strong = math.log10(value) == int(math.log10(value))
    text = f"{value / 1e6:g}M" if value >= 1e6 else f"{value / 1e3:g}k" if value >= 1e3 else f"{value:g}"
    yield f'<line x1="{left}" x2="{left + PANEL["width"]}" y1="{at:.1f}" y2="{at:.1f}" stroke="{"#bbbbbb" if strong else "#eeeeee"}"/>'
    yield f'<text x="{left - 6}" y="{at + 4:.1f}" text-anchor="end" fill="#555555">{text}</text>'


def curve(points, colour, label, wide):
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{3 if wide else 1.6}"><title>{escape(label)}</title></polyline>'
    for x, y in points:
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{4 if wide else 3}" fill="{colour}"/>'


def legend(results):
    x, y = 70, PANEL["top"] + PANEL["height"] + 62
    for at, (result, colour) in enumerate(zip(results, COLOURS)):
        left, top = x + at % 4 * 225, y + at // 4 * 20
        yield f'<rect x="{left}" y="{top - 9}" width="14" height="10" fill="{colour}"/>'
        yield f'<text x="{left + 20}" y="{top}" fill="#111111">{escape(result["label"])}</text>'
