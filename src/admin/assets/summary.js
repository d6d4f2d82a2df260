// The first sentence on the page: how things are, and what is wrong if something is.

import { coarsely, counted, many, severity } from "./words.js";

/** Gives a level (good, warn, bad, none) and a text. */
export function summary(model) {
  const { state } = model;
  const now = model.now();
  if (state.draining) {
    const left = model.running.size + state.more;
    return { level: "warn", text: `seawall is draining: it takes no new connections and ends once ${left ? `${counted(left, "exchange is", "exchanges are")} over` : "its connections are closed"}.` };
  }
  for (const backend of state.backends) {
    const trouble = ofBackend(backend, now);
    if (trouble) return trouble;
  }
  const stuck = ofUnanswered(model, now);
  const failing = ofAnswers(model);
  const full = ofQueue(model, now);
  if (failing || stuck || full) {
    return { level: failing ? "bad" : "warn", text: [failing, stuck, full, running(model)].filter(Boolean).join(" ") };
  }
  if (state.backends.every((one) => one.condition === "unknown")) {
    return { level: "none", text: untouched(model) };
  }
  const names = state.backends.map((one) => one.name);
  const up = names.length === 1 ? `Backend ${names[0]} is up.` : `All ${names.length} backends are up.`;
  const known = state.backends.every((one) => one.condition === "up") ? up : `${ups(state.backends)}.`;
  const before = model.problems().filter((one) => severity(one) === "bad").length;
  const past = before ? ` Before, ${counted(before, "request")} went wrong: see Problems.` : "";
  return { level: "good", text: `All is well. ${known} ${running(model)} Nobody waits.${past}` };
}

/** Where a first request could go. */
export function untouched(model) {
  const place = model.state.listen.find((one) => one.includes(":") && !one.startsWith("unix:"));
  const where = place ? `http://${place.replace(/^(0\.0\.0\.0|\[::\]):/, "127.0.0.1:")}/` : "its listener";
  return `seawall is ready, and nobody has asked for anything yet. Send a request to ${where} and watch it here.`;
}

function ups(backends) {
  const of = (condition) => backends.filter((one) => one.condition === condition).map((one) => one.name);
  return `${of("up").join(", ")} up, ${of("unknown").join(", ")} not asked yet`;
}

function running(model) {
  const all = model.running.size + model.state.more;
  const orphans = [...model.running.values()].filter((one) => one.orphan).length;
  const left = orphans ? `, ${many(orphans)} of them for ${orphans === 1 ? "a client that has" : "clients that have"} left` : "";
  return all === 0 ? "No exchange runs." : `${counted(all, "exchange runs", "exchanges run")}${left}.`;
}

function ofBackend(backend, now) {
  const held = backend.held ? `${counted(backend.held, "request waits", "requests wait")} for it` : "nobody waits for it yet";
  switch (backend.condition) {
    case "away":
      return { level: "bad", text: `Backend ${backend.name} has been away for ${coarsely(now - backend.since)} (${backend.reason}): ${held}. It is tried again and again at ${backend.url}.` };
    case "restarting":
      return { level: "warn", text: `The command behind ${backend.name} has ended and is being started again: ${held}.` };
    case "crash_loop":
      return { level: "bad", text: `The command behind ${backend.name} ends again and again; its last output below says why. It is still tried.` };
    default:
      return ofServers(backend);
  }
}

/** Of several servers, those that are not as they should be. */
function ofServers({ name, servers = [] }) {
  const out = servers.filter((one) => one.out);
  const unwell = servers.filter((one) => one.unwell);
  const named = (all) => (all.length > 3 ? counted(all.length, "server") : all.map((one) => one.name).join(", "));
  const verb = (all) => (all.length === 1 ? "is" : "are");
  if (out.length) {
    return { level: "warn", text: `Backend ${name} has ${many(servers.length - out.length)} of its ${many(servers.length)} servers: ${named(out)} ${verb(out)} out, and the others are asked.` };
  }
  if (!unwell.length) return null;
  return { level: "warn", text: `Backend ${name} has all of its ${many(servers.length)} servers, and ${named(unwell)} ${verb(unwell)} not well: see backend.health.` };
}

function ofUnanswered(model, now) {
  const stuck = model.unanswered();
  if (!stuck.length) return null;
  const longest = Math.max(...stuck.map((one) => now - one.sent));
  return `${counted(stuck.length, "exchange has", "exchanges have")} had no answer from the backend for up to ${coarsely(longest)}.`;
}

function ofQueue(model, now) {
  const full = model.state.backends.find((one) => one.queued > 0);
  if (!full) return null;
  const [first] = [...model.running.values()].filter((one) => one.stage === "queued" && one.backend === full.name);
  const since = first ? `${full.queued > 1 ? ", the first of them" : ""} for ${coarsely(now - first.began)}` : "";
  const slots = full.slots === 1 ? "its only slot is" : `all of its ${many(full.slots)} slots are`;
  return `Backend ${full.name} is busy: ${slots} in use, and ${counted(full.queued, "request waits", "requests wait")}${since}.`;
}

/** The last minute's answers, if some of them went wrong. */
function ofAnswers(model) {
  const from = model.now() - 60_000;
  const minute = model.series.filter((one) => one.at > from);
  const sum = (count) => minute.reduce((all, one) => all + count(one), 0);
  const [all, failed, errors] = [sum((one) => one.ended.reduce((a, b) => a + b, 0)), sum((one) => one.ended[FAILED]), sum((one) => one.errors)];
  const wrong = Math.max(failed, errors);
  if (!wrong) return null;
  const reasons = new Map();
  for (const one of model.problems()) {
    if (one.until < from) break;
    if (one.ended === "failed" || one.status >= 500) reasons.set(one.problem, (reasons.get(one.problem) ?? 0) + 1);
  }
  const small = (why) => why.charAt(0).toLowerCase() + why.slice(1);
  const [first, second] = [...reasons].sort((one, other) => other[1] - one[1]);
  const share = ([why, count]) => (second ? `${small(why)} (${many(count)})` : small(why));
  const why = [first, second].filter(Boolean).map(share).join(", ");
  return `${many(wrong)} of the ${counted(all, "request")} of the last minute went wrong${why && `: ${why}`}.`;
}

/** In the order of seawall's own list: delivered, discarded, abandoned, cut, failed, refused. */
const FAILED = 4;
