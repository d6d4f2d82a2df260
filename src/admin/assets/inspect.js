// The list of the last exchanges, its filter, and the one that is looked at.

import { $, el, text } from "./dom.js";
import { counted, doing, lasting, severity, wrong } from "./words.js";
import { Detail } from "./exchange.js";

const EVERY = 1000;
const MOST = 300;

const form = $("filter");
const list = $("list");
const rows = new Map();
let chosen = null;
let began = 0;
let last = "";
let timer = 0;

const detail = new Detail({ clock, open, closed });

/** The time of day of a moment in milliseconds since the process began. */
function clock(at) {
  const time = new Date(began + at);
  const two = (number) => String(number).padStart(2, "0");
  const seconds = `${two(time.getSeconds())}.${String(time.getMilliseconds()).padStart(3, "0")}`;
  return `${two(time.getHours())}:${two(time.getMinutes())}:${seconds}`;
}

function query() {
  const asked = new URLSearchParams();
  for (const [name, value] of new FormData(form)) {
    if (value.trim()) asked.set(name, value.trim());
  }
  return asked;
}

async function look() {
  clearTimeout(timer);
  const asked = query();
  $("har").href = `/api/har?${asked}`;
  const is_filtered = asked.size > 0;
  asked.set("limit", MOST);
  try {
    const answer = await fetch(`/api/exchanges?${asked}`);
    if (answer.status === 401) return location.assign("/");
    const said = await answer.text();
    complain(answer.ok ? null : said.trim());
    if (answer.ok) draw(said, is_filtered);
    await detail.look();
  } catch {
    complain("seawall does not answer. It is asked again every second.");
  }
  if ($("follow").ariaPressed === "true" && !document.hidden) timer = setTimeout(look, EVERY);
}

function complain(what) {
  $("lost").hidden = what === null;
  text($("lost"), what ?? "");
}

function draw(said, is_filtered) {
  if (said === last) return;
  last = said;
  const { exchanges, more, entries, ...now } = JSON.parse(said);
  began = Date.parse(now.began);
  text($("count"), more ? `the newest ${MOST}` : counted(exchanges.length, "exchange"));
  exchanges.forEach((one, index) => {
    const row = rows.get(one.serial) ?? made(one.serial);
    fill(row, one, now.now);
    // What stands where it is to be is left there, and keeps the focus.
    if (list.children[index] !== row) list.insertBefore(row, list.children[index] ?? null);
  });
  while (list.children.length > exchanges.length) {
    rows.delete(list.lastChild.serial);
    list.lastChild.remove();
  }
  $("empty").hidden = exchanges.length > 0;
  text($("empty"), nothing(entries, is_filtered));
}

function nothing(entries, is_filtered) {
  if (is_filtered) return "No exchange that is kept is like that.";
  if (entries === 0) return "Nothing is kept: [inspect] entries is 0.";
  return "Nothing has come yet. Send a request to seawall, and it is listed here.";
}

function made(serial) {
  const button = el("button", { type: "button", onclick: () => open(serial) });
  const row = el("li", { serial }, button);
  if (serial === chosen) button.setAttribute("aria-current", "true");
  rows.set(serial, row);
  return row;
}

function fill(row, one, now) {
  const key = JSON.stringify(one.ended ? one : [one, now]);
  if (row.drawn === key) return;
  row.drawn = key;
  row.firstChild.replaceChildren(
    el("span", { className: "when" }, clock(one.began)),
    el("span", { className: "method" }, one.method ?? "–"),
    el("span", { className: "path", title: one.path ?? "" }, one.path ?? "no request"),
    el("span", { className: `tag ${colour(one)}` }, doing(one, false)),
    el("span", { className: "status" }, one.status ? String(one.status) : "–"),
    el("span", { className: "took" }, lasting((one.until ?? now) - one.began)),
  );
}

function colour(one) {
  if (!one.ended) return "";
  const is_wrong = wrong(one) && severity(one);
  if (is_wrong) return is_wrong === "bad" ? "bad" : "warn";
  return one.ended === "delivered" ? "good" : "";
}

function open(serial) {
  mark(serial);
  history.replaceState(null, "", `#${serial}`);
  $("panes").classList.add("open");
  detail.show(serial);
}

function closed() {
  const row = rows.get(chosen);
  mark(null);
  history.replaceState(null, "", location.pathname);
  $("panes").classList.remove("open");
  (row?.firstChild ?? list).focus();
}

function mark(serial) {
  rows.get(chosen)?.firstChild.removeAttribute("aria-current");
  chosen = serial;
  rows.get(chosen)?.firstChild.setAttribute("aria-current", "true");
}

list.addEventListener("keydown", (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const buttons = [...list.querySelectorAll("button")];
  const at = buttons.indexOf(document.activeElement);
  buttons[Math.min(Math.max(at + step, 0), buttons.length - 1)]?.focus();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && chosen !== null) detail.close();
});
form.addEventListener("input", look);
form.addEventListener("submit", (event) => event.preventDefault());
// What is typed is gone only behind this.
form.addEventListener("reset", () => setTimeout(look));
$("follow").addEventListener("click", () => {
  const is_on = $("follow").ariaPressed !== "true";
  $("follow").ariaPressed = String(is_on);
  if (is_on) look();
});
document.addEventListener("visibilitychange", () => document.hidden || look());

// The live page leads here by the number of one, or by a part of its path.
for (const [name, value] of new URLSearchParams(location.search)) {
  if (form.elements[name]) form.elements[name].value = value;
}
await look();
if (/^#\d+$/.test(location.hash)) open(Number(location.hash.slice(1)));
