// What went wrong and why, the child's last output beside it, and the ledger of what was discarded.

import { $, el, redraw, table, text } from "./dom.js";
import { bytes, coarsely, counted, hint, lasting, LEFT, many, request, sentence, severity, SLOWLY } from "./words.js";

/** Draws the problems; `open` shows one of them. */
export function problems(model, open) {
  const groups = grouped(model);
  const key = groups.map(({ id, list, now }) => [id, list.length, list[0].number ?? now]).join(" ");
  redraw($("problems"), key || "none", () => {
    const opened = new Set([...$("problems").querySelectorAll("details[open]")].map((one) => one.dataset.id));
    if (!groups.length) return [el("p", { className: "empty" }, "None: nothing has failed, was cut or refused, or took long, as far as is kept.")];
    return groups.slice(0, GROUPS).map((group) => problem(model, group, opened.has(group.id), open));
  });
}

/** Equal ones together, the gravest first. */
function grouped(model) {
  const groups = new Map();
  for (const one of model.problems()) {
    const id = `${one.problem} ${one.ended} ${one.status}`;
    if (!groups.has(id)) groups.set(id, { id, what: one.problem, severity: severity(one), hint: hint(one), list: [] });
    groups.get(id).list.push(one);
  }
  const stuck = model.unanswered().reverse();
  const now = Math.floor(model.now() / 1000);
  const waiting = { id: "unanswered", what: "No answer from the backend yet", severity: "warn", hint: "Sent more than 5 s ago. Is the backend busy, or stuck?", list: stuck, now };
  const rank = ({ severity }) => ["bad", "warn", "mild"].indexOf(severity);
  const all = [...(stuck.length ? [waiting] : []), ...groups.values()];
  return all.sort((one, other) => rank(one) - rank(other) || (other.list[0].until ?? Infinity) - (one.list[0].until ?? Infinity));
}

function problem(model, { id, what, severity, hint, list, now }, opened, open) {
  const [last] = list;
  const when = now === undefined ? `last at ${model.clock(last.until)}` : `for up to ${coarsely(model.now() - list.at(-1).sent)}`;
  const tag = what === SLOWLY ? "slow" : last.status ?? (last.ended || "running");
  const columns = [
    ["At", "number", (one) => model.clock(one.until ?? one.began)],
    ["Request", "path", (one) => el("button", { type: "button", onclick: () => open(one.serial) }, request(one))],
    ["Client", "", (one) => one.client ?? "–"],
    ["Ended", "", (one) => one.ended ?? one.stage],
    ["Took", "number", (one) => lasting((one.until ?? model.now()) - one.began)],
  ];
  const rest = list.length > ROWS ? el("p", { className: "soft" }, `And ${many(list.length - ROWS)} more before.`) : null;
  return el("details", { className: "problem", "data-id": id, open: opened },
    el("summary", {},
      el("span", { className: `tag ${severity === "mild" ? "" : severity}` }, `${counted(list.length, "×", "×")} ${tag}`),
      el("span", { className: "what" }, what),
      el("span", { className: "when" }, when),
      el("span", { className: "hint" }, `${short(request(last))}${hint ? ` — ${hint}` : ""}`)),
    el("div", { className: "scroll" }, table(columns, list.slice(0, ROWS), what), rest));
}

const short = (path) => (path.length > 60 ? `${path.slice(0, 60)}…` : path);

export function output(model) {
  $("output-card").hidden = !model.wrapped;
  $("trouble").classList.toggle("with-output", model.wrapped);
  if (!model.wrapped) return;
  const pre = $("output");
  const atEnd = pre.scrollHeight - pre.scrollTop - pre.clientHeight < 40;
  const chosen = getSelection();
  // Who selects in it wants to copy.
  if (!chosen.isCollapsed && pre.contains(chosen.anchorNode)) return;
  text(pre, model.output.join("\n") || "It has written nothing yet.");
  if (atEnd) pre.scrollTop = pre.scrollHeight;
}

export function ledger(model, open) {
  const list = model.finished.filter((one) => one.ended === "discarded").slice(-LEDGER).reverse();
  redraw($("ledger"), list.map((one) => one.number).join(), () => {
    if (!list.length) return [el("p", { className: "empty" }, "Nothing yet: every client has waited for its answer.")];
    const columns = [
      ["At", "number", (one) => model.clock(one.until)],
      ["Request", "path", (one) => el("button", { type: "button", onclick: () => open(one.serial) }, request(one))],
      ["Status", "number", (one) => String(one.backend_status ?? one.status ?? "–")],
      ["Discarded", "number", (one) => bytes(one.discarded_bytes)],
      ["Went on for", "number", (one) => lasting(Math.max((one.over ?? one.until) - (one.orphaned_at ?? one.left_at), 0))],
      ["The client left", "", (one) => LEFT[one.left] ?? "–"],
      ["Why", "", (one) => sentence(one.reason ?? "it closed its connection")],
    ];
    return [table(columns, list, "Discarded answers, the newest first")];
  });
}

const GROUPS = 12;
const ROWS = 8;
const LEDGER = 25;
