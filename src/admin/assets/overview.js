// The backends, and what they were shielded from.

import { $, el, redraw, text } from "./dom.js";
import { bytes, coarsely, counted, lasting, many } from "./words.js";

export function backends(model) {
  const { backends } = model.state;
  const orphans = new Map();
  for (const one of model.running.values()) {
    if (one.orphan) orphans.set(one.backend, (orphans.get(one.backend) ?? 0) + 1);
  }
  const key = JSON.stringify([backends, [...orphans]]) + Math.floor(model.now() / 1000) * backends.some((one) => one.since !== null);
  redraw($("backends"), key, () => backends.map((one) => backend(one, orphans.get(one.name) ?? 0, model)));
}

/** The last minute in figures. */
export function figures(model) {
  const minute = model.series.slice(-60);
  const sum = (count) => minute.reduce((all, one) => all + count(one), 0);
  const all = sum((one) => one.ended.reduce((a, b) => a + b, 0));
  const waited = (rank) => lasting(minute.at(-1)?.minute?.[rank]);
  const wrong = Math.max(sum((one) => one.errors), sum((one) => one.ended[4]));
  const rate = minute.length ? all / minute.length : 0;
  const facts = [
    ["requests a second", rate >= 10 ? many(Math.round(rate)) : rate.toFixed(1)],
    ["half waited up to", waited(0)],
    ["95 % waited up to", waited(1)],
    ["went wrong in a minute", many(wrong), wrong ? "bad" : ""],
  ];
  redraw($("figures"), JSON.stringify(facts), () => facts.map(([name, value, kind]) => el("div", { className: kind ?? "" }, el("dt", {}, name), el("dd", {}, value))));
}

function backend(one, orphans, model) {
  const [word, kind] = CONDITIONS[one.condition];
  const since = one.since === null ? "" : ` for ${coarsely(model.now() - one.since)}`;
  return el("div", { className: "backend" },
    el("div", { className: "name" },
      el("strong", {}, one.name), el("span", { className: `tag ${kind}` }, word + since), el("span", { className: "soft mono" }, one.url)),
    one.reason ? el("p", { className: "soft" }, one.reason) : null,
    gauge("Slots", one.slots <= PIPS ? pips(one.slots, one.slots_in_use, orphans) : meter(one.slots_in_use / one.slots, ""),
      `${many(one.slots_in_use)} of ${many(one.slots)} in use${orphans ? `, ${many(orphans)} for nobody` : ""}`),
    gauge("Queue", meter(one.queued / Math.max(one.queue_max, 1), "queue"), `${many(one.queued)} of ${many(one.queue_max)}`),
    one.held ? gauge("Held", meter(1, "held"), `${counted(one.held, "request")}`) : null,
    one.servers ? servers(one) : null);
}

/** A row for each of several; those in trouble first, where there are too many. */
function servers(backend) {
  const all = backend.servers;
  const trouble = (one) => Number(one.out) * 2 + Number(one.unwell);
  const shown = all.length > ROWS ? [...all].sort((one, other) => trouble(other) - trouble(one)).slice(0, ROWS) : all;
  const more = all.length - shown.length;
  return el("ul", { className: "servers", "aria-label": `Servers of ${backend.name}` },
    ...shown.map(server), more ? el("li", { className: "soft" }, `and ${many(more)} more`) : null);
}

function server(one) {
  const [word, kind] = one.out ? ["out", "bad"] : one.unwell ? ["unwell", "warn"] : ["up", "good"];
  return el("li", {},
    el("span", { className: "mono address" }, one.name), el("span", { className: `tag ${kind}` }, word),
    meter(one.slots_in_use / Math.max(one.slots, 1), ""),
    el("span", { className: "count" }, `${many(one.slots_in_use)} of ${many(one.slots)}`, el("span", { className: "unseen" }, " slots in use")));
}

function gauge(name, picture, words) {
  return el("div", { className: "gauge" }, el("span", { className: "soft" }, name), picture, el("span", { className: "count" }, words));
}

function pips(count, taken, orphans) {
  const kind = (place) => (place < Math.min(orphans, taken) ? "orphaned" : place < taken ? "taken" : "");
  return el("div", { className: "pips", "aria-hidden": "true" }, ...Array.from({ length: count }, (_, place) => el("i", { className: kind(place) })));
}

function meter(share, kind) {
  const fill = el("i");
  fill.style.width = `${Math.min(share, 1) * 100}%`;
  return el("div", { className: `meter ${kind}`, "aria-hidden": "true" }, fill);
}

export function shielded(model) {
  const ended = (word) => model.total((totals) => totals.ended[word]);
  const total = (name) => model.total((totals) => totals[name]);
  const [discarded, abandoned] = [ended("discarded"), ended("abandoned")];
  text($("prevented"), many(discarded + abandoned));
  text($("prevented-unit"), discarded + abandoned === 1 ? "broken pipe prevented" : "broken pipes prevented");
  const facts = [
    ["Left, backend finished in peace", many(discarded)],
    ["Left before the backend knew", many(abandoned)],
    ["Read for nobody", `${bytes(total("discarded_bytes"))} in ${coarsely(total("orphan_seconds") * 1000)}`],
    ["Joined a running exchange", many(total("joins"))],
    ["Answered from a kept result", many(total("replays"))],
    ["Delivered", `${many(ended("delivered"))} · ${bytes(total("delivered_bytes"))}`],
  ];
  redraw($("shielded"), JSON.stringify(facts), () => facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
}

const CONDITIONS = {
  unknown: ["not asked yet", ""],
  up: ["up", "good"],
  away: ["away", "bad"],
  restarting: ["restarting", "warn"],
  crash_loop: ["ends again and again", "bad"],
};
/** More servers than these are counted. */
const ROWS = 12;
/** More slots than these are a meter. */
const PIPS = 64;
