"""The table and the pictures of what was measured."""

COLOURS = {"seawall": "#1f6f8b", "nginx": "#8a9a5b", "HAProxy": "#b08968", "Varnish": "#9d8189", "Caddy": "#adb5bd",
           "Envoy": "#6d6875"}
BEGIN, END = "<!-- measured -->", "<!-- /measured -->"


def rows(results):
    """What can be put beside each other: what it is, the unit, and a figure for each proxy."""
    for name, taken in results["measured"].items():
        if not taken:
            continue
        some = next(iter(taken.values()))
        if "cpu_us" in some:
            yield f"CPU, {name}", "µs a request", pick(taken, "cpu_us")
            yield f"throughput, {name}", "requests a second", pick(taken, "per_second")
        elif name == "latency":
            for part in ("p50", "p99", "p99.9"):
                yield f"latency added at half load, {part}", "µs", pick(taken, f"{part}_us")
        elif "kib_each" in some:
            yield f"memory, {name}", "KiB each", pick(taken, "kib_each")
        elif "mib_at_most" in some:
            yield f"memory, {name}", "MiB at most", pick(taken, "mib_at_most")
            yield f"backend free, {name}", "s", pick(taken, "backend_free_after_s")
        else:
            for key in ("served", "seconds", "requests_at_the_backend", "broken_there"):
                yield f"{name}: {key.replace('_', ' ')}", "", pick(taken, key)


def pick(taken, key):
    return {proxy: one.get(key) for proxy, one in taken.items()}


def table(results):
    names = list(results.get("versions", {})) or sorted({p for one in results["measured"].values() for p in one})
    lines = ["| | unit | " + " | ".join(names) + " |", "| --- " * (len(names) + 2) + "|"]
    for what, unit, figures in rows(results):
        cells = [cell(figures[name]) if name in figures else "" for name in names]
        lines.append(f"| {what} | {unit} | " + " | ".join(cells) + " |")
    versions = ", ".join(f"{name} {version}" for name, version in results.get("versions", {}).items())
    return "\n".join(lines) + (
        f"\n\n{results['machine']}. Commit {results['commit']}. Medians of {results['rounds']} interleaved rounds of "
        f"{results['seconds']} s, one worker each. {versions}.\n")


def publish(house, results):
    """Shows it in the README."""
    shown = house / "docs/bench"
    shown.mkdir(exist_ok=True)
    drawn = pictures(results)
    for name, picture in drawn.items():
        (shown / name).write_text(picture)
    images = "\n".join(f"![{name.removesuffix('.svg')}](docs/bench/{name})" for name in drawn)
    readme = house / "README.md"
    before, rest = readme.read_text().split(BEGIN)
    _, after = rest.split(END)
    readme.write_text(f"{before}{BEGIN}\n{table(results)}\n{images}\n{END}{after}")


def cell(figure):
    if figure is None:
        return "never"
    return f"{figure:.0f}" if abs(figure) >= 100 else f"{figure:g}"


def pictures(results):
    of = list(rows(results))
    chosen = {"cpu.svg": "CPU", "latency.svg": "latency", "memory.svg": "memory"}
    return {file: bars([row for row in of if row[0].startswith(word)]) for file, word in chosen.items()
            if any(row[0].startswith(word) for row in of)}


def bars(chosen):
    """Each group has a scale of its own: what is compared is the proxies."""
    parts, y = [], 24
    for what, unit, figures in chosen:
        parts.append(f'<text x="8" y="{y}" font-weight="bold">{what} ({unit})</text>')
        most = max([abs(figure) for figure in figures.values() if figure is not None], default=0) or 1
        for name, figure in figures.items():
            y += 20
            width = 0 if figure is None else max(1, 380 * max(0, figure) / most)
            parts.append(f'<text x="8" y="{y}">{name}</text><rect x="90" y="{y - 11}" width="{width:.0f}" height="14" '
                         f'fill="{COLOURS.get(name, "#888")}"/><text x="{96 + width:.0f}" y="{y}">{cell(figure)}</text>')
        y += 32
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 560 {y}" font-family="sans-serif" font-size="13">'
            f'<rect width="560" height="{y}" fill="#fff"/>{"".join(parts)}</svg>\n')
