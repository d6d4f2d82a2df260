// The last minutes as plots: what ended, how long it took, how full the backend was.

import { $, el, svg, text } from "./dom.js";
import { lasting, many } from "./words.js";

export class Plots {
  #plots = PLOTS.map((plot) => new Plot(plot));

  constructor() {
    $("plots").append(...this.#plots.map((plot) => plot.element));
  }

  draw(model, seconds) {
    for (const plot of this.#plots) plot.draw(model, seconds);
  }
}

class Plot {
  #kind;
  #picture = svg("svg", { role: "img", preserveAspectRatio: "none" });
  #values;
  #cursor = null;
  #last = null;

  constructor(kind) {
    this.#kind = kind;
    this.#values = new Map(kind.lines.map(([name]) => [name, el("b")]));
    const legend = kind.lines.map(([name, title]) => el("li", { className: `ink-${name}` }, el("i"), title, this.#values.get(name)));
    this.element = el("div", { className: "plot" },
      el("h3", {}, kind.title, el("span", {}, ` ${kind.unit}`)), this.#picture, el("ul", { className: "legend" }, ...legend));
    this.#picture.addEventListener("pointermove", (event) => this.#point(event));
    this.#picture.addEventListener("pointerleave", () => this.#point(null));
  }

  draw(model, seconds) {
    this.#last = [model, seconds];
    const { stacked, lines, say } = this.#kind;
    const [width, height] = [this.#picture.clientWidth || 300, HEIGHT];
    const newest = model.series.at(-1)?.number ?? 0;
    const samples = model.series.filter((one) => one.number > newest - seconds);
    const values = samples.map((one) => lines.map(([name], place) => this.#kind.value(one, name, place)));
    const heights = values.map((row) => (stacked ? row.reduce((sum, one) => sum + one, 0) : Math.max(...row.map((one) => one ?? 0))));
    const top = ceiling(Math.max(...heights, this.#kind.least), say === lasting);
    const x = (number) => width - ((newest - number) / (seconds - 1)) * width;
    const y = (value) => height - 16 - (value / top) * (height - 30);
    const parts = [];
    for (const part of [0, 0.5, 1]) {
      parts.push(svg("line", { class: "grid", x1: 0, x2: width, y1: y(top * part), y2: y(top * part) }));
      if (part) parts.push(svg("text", { x: 0, y: y(top * part) - 4 }, say(top * part)));
    }
    parts.push(svg("text", { x: 0, y: height }, `−${seconds / 60} min`), svg("text", { x: width, y: height, "text-anchor": "end" }, "now"));
    parts.push(...(stacked ? areas : strokes)(samples, values, lines, x, y));
    const shown = this.#shown(samples, x, width);
    if (this.#cursor !== null && shown >= 0) {
      const at = x(samples[shown].number);
      parts.push(svg("line", { class: "cursor", x1: at, x2: at, y1: 10, y2: height - 16 }));
      parts.push(svg("text", { x: Math.min(Math.max(at, 24), width - 24), y: 8, "text-anchor": "middle" }, model.clock(samples[shown].at)));
    }
    this.#picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.#picture.replaceChildren(...parts);
    const row = values[shown] ?? [];
    const said = lines.map(([name, title], place) => {
      const value = row[place] === null || row[place] === undefined ? "–" : say(row[place]);
      text(this.#values.get(name), value);
      return `${title} ${value}`;
    });
    // What is read aloud does not change while somebody points.
    if (this.#cursor === null) this.#picture.setAttribute("aria-label", `${this.#kind.title}, ${this.#kind.unit}; now: ${said.join(", ")}`);
  }

  /** The sample that is told in figures: the newest, or the one pointed at. */
  #shown(samples, x, width) {
    if (this.#cursor === null) return samples.length - 1;
    const at = this.#cursor * width;
    const away = samples.map((one) => Math.abs(x(one.number) - at));
    return away.indexOf(Math.min(...away));
  }

  #point(event) {
    const box = this.#picture.getBoundingClientRect();
    this.#cursor = event && (event.clientX - box.left) / box.width;
    if (this.#last) this.draw(...this.#last);
  }
}

function areas(samples, values, lines, x, y) {
  const below = samples.map(() => 0);
  return lines.map(([name], place) => {
    const bottom = samples.map((one, at) => `${x(one.number).toFixed(1)},${y(below[at]).toFixed(1)}`).reverse();
    const top = samples.map((one, at) => {
      below[at] += values[at][place];
      return `${x(one.number).toFixed(1)},${y(below[at]).toFixed(1)}`;
    });
    return svg("polygon", { class: `area ink-${name}`, points: [...top, ...bottom].join(" ") });
  });
}

function strokes(samples, values, lines, x, y) {
  return lines.map(([name], place) => {
    let pen = "M";
    const path = samples.map((one, at) => {
      const value = values[at][place];
      if (value === null) {
        pen = "M";
        return "";
      }
      // A second alone between empty ones is to be seen, too.
      const step = `${pen}${x(one.number).toFixed(1)},${y(value).toFixed(1)}${pen === "M" ? "h1" : ""}`;
      pen = "L";
      return step;
    });
    return svg("path", { class: `line ink-${name}`, d: path.join("") });
  });
}

/** A round number above: of ones, twos and fives. */
function ceiling(value, isTime) {
  const power = 10 ** Math.floor(Math.log10(value));
  const step = [1, 2, 5, 10].find((one) => one * power >= value) * power;
  return isTime ? step : Math.max(step, 2);
}

const HEIGHT = 150;
const ENDED = ["delivered", "discarded", "abandoned", "cut", "failed", "refused"];
const PLOTS = [
  {
    title: "What ended", unit: "a second", stacked: true, least: 1, say: (value) => many(value),
    lines: ENDED.map((name) => [name, name]),
    value: (one, name) => one.ended[ENDED.indexOf(name)],
  },
  {
    title: "What clients waited", unit: "in all", stacked: false, least: 1, say: lasting,
    lines: [["p50", "half"], ["p95", "95 %"], ["p99", "99 %"]],
    value: (one, _, place) => one.visit?.[place] ?? null,
  },
  {
    title: "How full it is", unit: "exchanges", stacked: false, least: 1, say: (value) => many(value),
    lines: [["slots_in_use", "slots in use"], ["queued", "queued"], ["held", "held"], ["orphans", "for nobody"]],
    value: (one, name) => one[name],
  },
];
