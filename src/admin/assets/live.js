// The live page: what seawall tells, drawn four times a second.

import { backends, figures, shielded } from "./overview.js";
import { Bars } from "./bars.js";
import { Detail } from "./detail.js";
import { $, redraw, table, text } from "./dom.js";
import { Model } from "./model.js";
import { Plots } from "./plots.js";
import { ledger, output, problems } from "./problems.js";
import { summary, untouched } from "./summary.js";
import { coarsely, counted, doing, lasting, many, request, watches } from "./words.js";

const model = new Model();
const detail = new Detail(() => bars.focus());
const open = (serial) => detail.show(serial, model);
const bars = new Bars(open);
const plots = new Plots();

let heard = null;
let lost = null;
let plotted = -1;
let announced = "";

/* Listening */

function listen() {
  const events = new EventSource("/api/events");
  const hear = (take) => (event) => {
    if (events.readyState === EventSource.CLOSED) return;
    take(JSON.parse(event.data));
    heard = performance.now();
    lost = null;
  };
  events.addEventListener("whole", hear((data) => model.whole(data)));
  events.addEventListener("news", hear((data) => model.state && model.news(data)));
  events.addEventListener("error", async () => {
    lost ??= performance.now();
    if (events.readyState !== EventSource.CLOSED) return;
    // It was answered, but not with events: a token may be needed again.
    const answer = await fetch("/api/state").catch(() => null);
    if (answer?.status === 401) location.reload();
    else setTimeout(listen, AGAIN);
  });
  // A connection that is silent is lost, too, though nobody says so.
  const watch = setInterval(() => {
    if (events.readyState === EventSource.CLOSED) clearInterval(watch);
    else if (heard !== null && performance.now() - heard > SILENCE) {
      lost ??= heard;
      events.close();
      clearInterval(watch);
      setTimeout(listen, AGAIN);
    }
  }, AGAIN);
}

/* Drawing */

function draw() {
  link();
  if (!model.state || paused() || document.hidden) return;
  const said = lost === null ? summary(model) : silent();
  if ($("sentence").dataset.level !== said.level) $("sentence").dataset.level = said.level;
  text($("sentence"), said.text);
  announce(said);
  if (lost !== null) return;
  backends(model);
  figures(model);
  shielded(model);
  problems(model, open);
  output(model);
  ledger(model, open);
  exchanges();
  detail.draw(model);
  const last = model.series.at(-1)?.number ?? 0;
  const key = last * 1000 + Number($("plot-span").value);
  if (key !== plotted) plots.draw(model, Number($("plot-span").value));
  plotted = key;
  text($("footer"), `seawall ${model.state.version} · up for ${lasting(Math.floor(model.now() / 1000) * 1000)} · ${counted(model.state.connections, "client connection")}`);
  document.title = `${said.level === "good" || said.level === "none" ? "" : "● "}seawall · ${many(model.running.size + model.state.more)} running`;
}

function exchanges() {
  const wanted = $("filter").value.trim().toLowerCase();
  const matches = (one) => !wanted || `${one.method} ${one.path} ${one.client}`.toLowerCase().includes(wanted);
  const all = [...model.running.values()].filter(matches);
  const of = (...stages) => all.filter((one) => stages.includes(one.stage) && !watches(one));
  const since = model.now() - Number($("span").value);
  const over = model.lately.filter((one) => one.until > since && matches(one)).sort((one, other) => other.until - one.until);
  const groups = [
    ["At the backend", of("waiting", "answering").sort((one, other) => one.sent - other.sent)],
    ["In line", of("queued")],
    ["With another's exchange", all.filter(watches)],
    ["Coming in", of("receiving")],
    ["On the way to the client", of("delivering")],
    ["Over", over],
  ];
  const none = groups.every(([, list]) => !list.length);
  $("bars-empty").hidden = !none;
  for (const id of ["bars", "axis-row", "bars-help"]) $(id).hidden = none;
  if (none) text($("bars-empty"), wanted ? "No exchange matches." : model.total((totals) => totals.ended.delivered) ? "No exchange runs, and none has ended just now." : untouched(model));
  const places = model.places();
  if ($("table").hidden) bars.draw(groups, model, places);
  else asTable(groups, places);
}

function asTable(groups, places) {
  // Calmer than the bars, so that it can be read aloud.
  redraw($("table"), Math.floor(model.now() / 2000) + $("filter").value, () => {
    const rows = groups.flatMap(([, list]) => list).slice(0, ROWS);
    const columns = [
      ["Request", "path", (one) => Object.assign(document.createElement("button"), { type: "button", textContent: request(one), onclick: () => open(one.serial) })],
      ["Now", "", (one) => `${doing(one, model.isHeld(one))}${places.has(one.serial) ? `, place ${places.get(one.serial)}` : ""}`],
      ["Status", "number", (one) => String(one.status ?? "–")],
      ["Client", "", (one) => one.client ?? "–"],
      ["Backend", "", (one) => one.backend || "–"],
      ["For", "number", (one) => lasting((one.until ?? model.now()) - one.began)],
    ];
    return [table(columns, rows, "Exchanges")];
  });
}

/* The connection with seawall */

function link() {
  const is = lost !== null ? (performance.now() - lost > GONE ? "gone" : "lost") : model.state ? "live" : "joining";
  const words = { live: paused() ? "paused" : "live", joining: "connecting", lost: "connection lost", gone: "seawall is gone" };
  $("link").dataset.is = is;
  text($("link-text"), words[is]);
  document.body.classList.toggle("stale", lost !== null);
  if (lost !== null && !model.state) text($("sentence"), "seawall does not answer. Trying again.");
}

function silent() {
  const since = performance.now() - lost;
  const last = heard === null ? "" : ` What is shown is from ${model.clock(model.now() - (performance.now() - heard))}.`;
  const draining = model.state.draining ? "seawall was draining, and has ended." : `Nothing heard from seawall for ${coarsely(since)}: it has ended, or cannot be reached.`;
  return { level: "bad", text: `${draining}${last} Trying again.` };
}

/** Read aloud, but only when the news is more than a number. */
function announce({ level, text: said }) {
  const gist = level + said.replace(/[\d.,]+/g, "");
  if (gist === announced) return;
  announced = gist;
  text($("announcement"), said);
}

const paused = () => $("pause").getAttribute("aria-pressed") === "true";

function toggles(button, then) {
  $(button).addEventListener("click", () => {
    const on = $(button).getAttribute("aria-pressed") !== "true";
    $(button).setAttribute("aria-pressed", String(on));
    then(on);
    draw();
  });
}

toggles("pause", () => {});
toggles("table-view", (on) => {
  $("table").hidden = !on;
  $("bars-view").hidden = on;
});
$("span").addEventListener("change", () => {
  bars.span = Number($("span").value);
  draw();
});
for (const id of ["filter", "plot-span"]) $(id).addEventListener("input", draw);
document.addEventListener("visibilitychange", draw);
setInterval(draw, 250);

/** Nothing was heard for so long: the connection is given up. */
const SILENCE = 5000;
const AGAIN = 1000;
/** And after so long seawall is called gone. */
const GONE = 5000;
/** Of the table. */
const ROWS = 300;

listen();
