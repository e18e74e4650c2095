"use strict";

const SHOWN = 200;
const DEEP = 32; // deeper or longer JSON is shown as it came
const LONG = 65536;
const LINE = 60;
const WEEK = 7 * 86400;
const at = (id) => document.getElementById(id);
const list = at("list");
const wide = matchMedia("(min-width: 64rem)");

let records = new Map(); // number -> what the counters and the cards need of it
let newest = 0;
let away = true;
let folded = !wide.matches;
let about = { path: "" };
let standing = "";

// ---- Helpers. What comes from outside is inserted as text, never as markup.

function make(name, kind, text) {
  const element = document.createElement(name);
  if (kind) element.className = kind;
  if (text !== undefined) element.textContent = text;
  return element;
}

function put(parent, name, kind, text) {
  const element = make(name, kind, text);
  parent.append(element);
  return element;
}

function parsed(text) {
  try { return JSON.parse(text); } catch { return undefined; }
}

function object(value) {
  return value !== null && typeof value === "object" && !Array.isArray(value) ? value : {};
}

// ---- The reader's language. English is written here; page.es.json has the rest.

const CATALOGUES = { es: "es", pt: "pt-br" };
let words = {};

function filled(text, values) {
  return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

function _(text, values = {}) {
  return filled(words[text] ?? text, values);
}

function plural(number, one, many, values = {}) {
  return _(number === 1 ? one : many, { n: number, ...values });
}

// A message of the sandbox, which is one of the texts with something filled in.
function told(message) {
  for (const [text, translated] of Object.entries(words)) {
    if (!text.includes("{")) continue;
    const names = [...text.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
    const parts = text.split(/\{\w+\}/).map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
    const found = new RegExp(`^${parts.join("(.+?)")}$`, "s").exec(message);
    if (found)
      return filled(translated, Object.fromEntries(names.map((name, at) => [name, _(found[at + 1])])));
  }
  return _(message);
}

function translate() {
  const texts = document.createTreeWalker(document, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const said = texts.currentNode.data;
    const text = said.trim().replace(/\s+/g, " ");
    if (text in words) texts.currentNode.data = said.replace(/\S(?:.*\S)?/s, () => words[text]);
  }
  for (const name of ["title", "placeholder", "aria-label"])
    for (const element of document.querySelectorAll(`[${name}]`))
      element.setAttribute(name, _(element.getAttribute(name)));
}

async function chooseLanguage() {
  const codes = navigator.languages.map((code) => code.split("-")[0]);
  const code = codes.find((one) => one === "en" || one in CATALOGUES);
  if (!(code in CATALOGUES)) return;
  try {
    words = await ask(`page.${CATALOGUES[code]}.json`);
    document.documentElement.lang = CATALOGUES[code];
    translate();
  } catch {
    // Then it stays in English.
  }
}

// ---- JSON: broken into lines and coloured, with no value changed: 99.90 stays 99.90.

const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\]:,]|[^\s{}[\]:,"]+/gs;

function tokens(text) {
  if (parsed(text) === undefined) return null;
  const found = [];
  const stack = [];
  let name = "", wantsKey = false;
  const path = () => {
    const top = stack.at(-1);
    if (!top) return "";
    if (top.list) return `${top.path}[${top.index}]`;
    return top.path ? `${top.path}.${name}` : name;
  };
  for (const [sign] of text.matchAll(TOKEN)) {
    const top = stack.at(-1);
    if (sign === "{" || sign === "[") {
      if (stack.length === DEEP) return null;
      found.push({ sign, kind: "open", path: path() });
      stack.push({ path: path(), list: sign === "[", index: 0 });
      wantsKey = sign === "{";
    } else if (sign === "}" || sign === "]") {
      stack.pop();
      wantsKey = false;
      found.push({ sign, kind: "close" });
    } else if (sign === ",") {
      if (top.list) top.index++; else wantsKey = true;
      found.push({ sign, kind: "comma" });
    } else if (sign === ":") {
      found.push({ sign, kind: "colon" });
    } else if (wantsKey) {
      name = JSON.parse(sign);
      wantsKey = false;
      found.push({ sign, kind: "key", path: path() });
    } else {
      const kind = sign[0] === '"' ? "string" : /^[-0-9]/.test(sign) ? "number" : "literal";
      found.push({ sign, kind, path: path() });
    }
  }
  return found;
}

// The brackets and commas of a list or object that fits on one line.
function flat(found) {
  const whole = new Set();
  const open = [];
  let length = 0;
  found.forEach(({ sign, kind }, index) => {
    if (kind === "open") open.push({ index, length });
    length += sign.length + (kind === "comma" || kind === "colon" ? 1 : 0);
    if (kind !== "close") return;
    const from = open.pop();
    const key = found[from.index - 1]?.kind === "colon" ? found[from.index - 2].sign.length + 2 : 0;
    if (key + length - from.length > LINE - 2 * open.length || !open.length && index - from.index > 1) return;
    for (let one = from.index; one <= index; one++) whole.add(one);
  });
  return whole;
}

function draw(pre, found, marked) {
  const whole = flat(found);
  let depth = 0;
  const line = () => "\n" + "  ".repeat(depth);
  found.forEach(({ sign, kind, path }, index) => {
    const inline = whole.has(index);
    if (kind === "close" && !inline) {
      depth--;
      pre.append(line());
    }
    if (kind === "key" || kind === "string" || kind === "number" || kind === "literal") {
      const wrong = marked.has(path);
      const mark = put(pre, wrong ? "mark" : "span", `json-${kind}`, sign);
      if (wrong) mark.title = marked.get(path);
    } else {
      pre.append(sign);
    }
    if (kind === "colon" || kind === "comma" && inline) {
      pre.append(" ");
    } else if (kind === "comma") {
      pre.append(line());
    } else if (kind === "open" && !inline) {
      depth++;
      pre.append(line());
    }
  });
}

function json(parent, text, marked = new Map(), label = "JSON") {
  const pre = put(parent, "pre");
  pre.tabIndex = 0; // so that it can be scrolled by keyboard
  pre.setAttribute("role", "group");
  pre.setAttribute("aria-label", label);
  const found = text.length > LONG ? null : tokens(text);
  if (found) draw(pre, found, marked);
  else pre.textContent = text;
}

// ---- A request in words.

const EXPLANATIONS = {
  hang: "The request was read but never answered.",
  "reset-before": "The connection was reset before the event was handled.",
  "reset-after": "The connection was reset instead of an answer.",
  "half-body": "Only half of the answer was sent.",
  close: "The connection was closed after the answer.",
  drip: "The answer was sent byte by byte.",
  "drip-body": "The body of the answer was sent byte by byte.",
  delay: "The answer was late.",
  garbage: "The answer was a web page, such as the login page of a guest Wi-Fi.",
  empty: "The answer was empty.",
  unconfirmed: "The answer said that no event was received.",
  redirect: "The answer was a redirect.",
};

function stateOf(seen) {
  if (seen.status === null || seen.behaviour === "half-body") return "mute";
  return seen.counted && seen.status < 300 ? "good" : "bad";
}

function verdictOf(seen, state) {
  if (state === "good") return _("confirmed");
  if (seen.status === null) return _("no answer");
  if (state === "mute") return _("answer cut off");
  if (seen.status < 300) return _("not confirmed");
  if (seen.status < 400) return _("redirected");
  if (seen.status >= 500) return _("failed");
  return _("refused");
}

function consequence(seen, state) {
  if (state === "good") return "";
  if (seen.counted && seen.status >= 400)
    return _("Connectly has counted the event; Meta refused it. It is in Connectly's analytics, but not in Ads Manager.");
  if (seen.counted) return _("Connectly has counted the event, but the shop cannot know that.");
  if (seen.status === 401)
    return _("The key is wrong, not the event: every event would get this answer.");
  if (seen.status === 404)
    return _("The address is wrong, not the event: every event would get this answer.");
  if (seen.status === null || seen.status >= 500 || seen.status === 429)
    return _("Nothing was counted. It is right to send it again.");
  return _("Nothing was counted.");
}

function span(seconds) {
  const [minutes, hours] = [Math.round(seconds / 60), Math.round(seconds / 3600)];
  if (Math.round(seconds) < 90) return plural(Math.round(seconds), "{n} second", "{n} seconds");
  if (minutes < 90) return plural(minutes, "{n} minute", "{n} minutes");
  if (hours < 36) return plural(hours, "{n} hour", "{n} hours");
  return plural(Math.round(seconds / 86400), "{n} day", "{n} days");
}

function placed(eventTime, arrived) {
  if (typeof eventTime !== "number" || !Number.isFinite(eventTime) || Math.abs(eventTime) > 1e11)
    return null;
  const gap = arrived.getTime() / 1000 - eventTime;
  const when = new Date(eventTime * 1000);
  if (Math.abs(gap) < 2) return { when, words: _("placed when it arrived") };
  const time = { time: span(Math.abs(gap)) };
  const words = gap > 0 ? _("placed {time} before it arrived", time) : _("placed {time} after it arrived", time);
  return { when, words, late: gap > WEEK };
}

function moment(parent, when, kind, text) {
  const time = put(parent, "time", kind, text);
  time.dateTime = when.toISOString();
  time.title = when.toLocaleString(undefined, { dateStyle: "full", timeStyle: "long" });
  return time;
}

// ---- A card.

function fact(parent, name, value) {
  if (!value) return;
  put(parent, "dt", "", name);
  put(parent, "dd", "code", value);
}

// The values of a body by their paths; numbers are kept as text.
function values(text) {
  const found = new Map();
  for (const { kind, path, sign } of tokens(text) ?? [])
    if (kind === "string") found.set(path, JSON.parse(sign));
    else if (kind === "number" || kind === "literal") found.set(path, sign);
  return found;
}

function nameOf(seen, said = values(seen.body)) {
  if (said.get("event_name")) return said.get("event_name");
  if (seen.path.split("?")[0] !== about.path || seen.method !== "POST")
    return `${seen.method} ${seen.path}`;
  return seen.body ? _("An event without a name") : _("An event that was not read");
}

function heading(article, seen, state, said) {
  const head = put(article, "header");
  const badge = put(head, "span", "badge");
  if (seen.status !== null) put(badge, "b", "", String(seen.status));
  badge.append(` ${verdictOf(seen, state)}`);
  const title = put(head, "h3");
  title.id = `event-${seen.number}`;
  article.setAttribute("aria-labelledby", title.id);
  title.append(nameOf(seen, said));
  if (seen.order_id !== null) put(title, "span", "order", seen.order_id);
  if (said.has("payload.value"))
    put(head, "span", "value",
      `${said.get("payload.value")} ${said.get("payload.currency") ?? ""}`);
  const arrived = new Date(seen.time);
  moment(head, arrived, "arrived", arrived.toLocaleTimeString());
}

function repeats(seen) {
  if (seen.order_id === null) return null;
  const same = [...records.values()].filter(
    (one) => one.order === seen.order_id && one.number < seen.number);
  if (!same.length) return null;
  const equal = same.every((one) => one.body === seen.body);
  const count = { n: same.length + 1 };
  const said = equal ? _("sent {n} times, always the same bytes", count) : _("sent {n} times, with different bytes!", count);
  return { equal, words: said };
}

function remarks(article, seen, order) {
  const tags = make("p", "tags");
  const again = repeats(seen);
  if (again) put(tags, "span", again.equal ? "tag" : "tag loud", again.words);
  if (seen.behaviour !== "ok") {
    const tag = put(tags, "span", "tag told", _("behaviour: "));
    put(tag, "code", "", seen.behaviour);
  }
  if (order?.late) put(tags, "span", "tag loud", _("Meta refuses events older than 7 days"));
  if (tags.childNodes.length) article.append(tags);
}

function problems(parent, seen, state) {
  const commanded = seen.behaviour !== "ok";
  const box = make("section", "problem-box");
  const title = commanded ? _("What happened") : state === "bad" ? _("Problems") : "";
  if (title) put(box, "h4", "", title);
  const explanation = EXPLANATIONS[seen.behaviour.split(":")[0]];
  if (commanded)
    put(box, "p", "", _(explanation ?? "The sandbox was told to give this answer."));
  const answered = object(parsed(seen.answer)).message;
  if (!commanded && state === "bad" && !seen.problems.length)
    put(box, "p", "", typeof answered === "string" ? told(answered) : seen.answer);
  if (seen.problems.length) {
    if (commanded) put(box, "p", "", _("The event itself is invalid, too:"));
    const items = put(box, "ul", "problems");
    for (const { field, message } of seen.problems) {
      const item = put(items, "li");
      const said = told(message);
      if (field && said.startsWith(field)) {
        put(item, "code", "", field);
        item.append(said.slice(field.length));
      } else {
        item.append(said);
      }
    }
  }
  const after = consequence(seen, state);
  if (after) put(box, "p", "after", after);
  if (box.childNodes.length) parent.append(box);
}

function answer(parent, seen) {
  const box = put(parent, "section", "answer");
  put(box, "h4", "", _("Answer"));
  if (seen.status === null) put(box, "p", "quiet", _("None."));
  else if (seen.answer.length && seen.answer.length < 40) put(box, "code", "short", seen.answer);
  else if (seen.answer) json(box, seen.answer, new Map(), _("Answer"));
  else put(box, "p", "quiet", _("{status}, without a body.", { status: seen.status }));
}

function body(parent, seen) {
  const details = put(parent, "details", "body");
  details.open = !folded;
  const size = new TextEncoder().encode(seen.body).length;
  const summary = put(details, "summary", "", _("Request body"));
  put(summary, "span", "quiet", ` ${seen.body ? plural(size, "{n} byte", "{n} bytes") : _("not read")}`);
  if (!seen.body) return;
  const marked = new Map(seen.problems.map(({ field, message }) => [field, told(message)]));
  json(details, seen.body, marked, _("Request body"));
}

function card(seen) {
  const said = values(seen.body);
  const time = object(object(parsed(seen.body)).payload).event_time;
  const state = stateOf(seen), order = placed(time, new Date(seen.time));
  const article = make("article", "card");
  article.dataset.state = state;
  heading(article, seen, state, said);
  remarks(article, seen, order);
  const inside = put(article, "div", "inside");
  const left = put(inside, "div", "left");
  problems(left, seen, state);
  const facts = put(left, "dl", "facts");
  if (order) {
    put(facts, "dt", "", _("order"));
    const when = put(facts, "dd", "", `${order.words}, `);
    moment(when, order.when, "quiet",
      order.when.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" }));
  }
  fact(facts, _("campaign"), said.get("sendout_id"));
  fact(facts, _("ad"), said.get("attribution.meta_ctwa.ad_id"));
  fact(facts, _("click"), said.get("attribution.meta_ctwa.ctwa_clid"));
  fact(facts, _("tracking id"), said.get("cnct_tracking_id"));
  if (!facts.childNodes.length) facts.remove();
  answer(left, seen);
  body(inside, seen);
  const item = make("li");
  item.dataset.number = seen.number;
  item.append(article);
  return item;
}

// ---- The list, the counters, the announcements.

function count() {
  const sums = { good: 0, bad: 0, mute: 0 };
  const orders = new Set();
  for (const one of records.values()) {
    sums[one.state]++;
    if (one.order !== null) orders.add(one.order);
  }
  for (const state of Object.keys(sums)) at(`count-${state}`).textContent = sums[state];
  at("count-orders").textContent = orders.size;
}

function announce(fresh) {
  const last = fresh.at(-1);
  const title = [nameOf(last), last.order_id].filter(Boolean).join(" ");
  const news = `${title}: ${verdictOf(last, stateOf(last))}`;
  at("news").textContent = fresh.length === 1 ? news
    : _("{n} new events; the last, {news}", { n: fresh.length, news });
}

function show(seen, quietly) {
  for (const number of records.keys()) if (number < seen.oldest) records.delete(number);
  for (const old of [...list.children])
    if (Number(old.dataset.number) < seen.oldest) old.remove();
  const fresh = [...seen.events, ...seen.refused].filter((one) => one.number > newest);
  fresh.sort((a, b) => a.number - b.number);
  for (const one of fresh)
    records.set(one.number, { number: one.number, order: one.order_id, body: one.body, state: stateOf(one) });
  for (const one of fresh.slice(-SHOWN)) list.prepend(card(one));
  while (list.children.length > SHOWN) list.lastChild.remove();
  if (fresh.length) {
    newest = fresh.at(-1).number;
    if (!quietly) announce(fresh);
  }
  at("count-received").textContent = seen.received_count;
  count();
  const hidden = seen.received_count - list.children.length;
  at("rest").hidden = hidden <= 0;
  at("rest").textContent = plural(hidden, "{n} older event not shown.", "{n} older events not shown.") +
    (seen.received_count > records.size
      ? ` ${_("Except for “received”, all counts cover only the newest {n} events.", { n: records.size })}` : "");
  at("empty").hidden = list.children.length > 0;
  at("fold").hidden = at("clear").hidden = !list.children.length;
}

function pending({ behaviours, delay }) {
  const now = JSON.stringify([behaviours, delay]);
  if (now === standing) return;
  standing = now;
  at("banner").hidden = !behaviours.length && !delay;
  at("behave").hidden = !behaviours.length;
  const fine = behaviours.every(({ behaviour }) => behaviour === "ok") && !delay;
  at("banner-title").textContent = fine ? _("Answering normally") : _("Simulating failures");
  at("pending").replaceChildren();
  behaviours.forEach(({ behaviour, times, order_id: order }, index) => {
    const item = put(at("pending"), "li", "", index && behaviours[index - 1].order_id === order ? `${_("then")} ` : "");
    put(item, "code", "", behaviour);
    item.append(" ", times === null ? _("for all events")
      : plural(times, "for the next event", "for the next {n} events"));
    if (order !== null) {
      item.append(` ${_("of order")} `);
      put(item, "code", "", order);
    }
    if (times === null) item.append(_(", until stopped"));
  });
  if (delay) put(at("pending"), "li", "",
      plural(delay, "every answer is delayed by {n} second", "every answer is delayed by {n} seconds"));
}

function linked(state, words) {
  at("link").dataset.state = state;
  if (at("link-words").textContent !== words) at("link-words").textContent = words;
}

// ---- Talking to the sandbox.

async function ask(path, method = "GET", document) {
  const options = { method };
  if (document) {
    options.headers = { "Content-Type": "application/json" };
    options.body = JSON.stringify(document);
  }
  const answered = await fetch(path, options);
  const said = await answered.json();
  if (!answered.ok) throw new TypeError(said.message);
  return said;
}

// One request at a time: two would show an event twice.
let looking = Promise.resolve();
function look(method) {
  looking = looking.then(() => poll(method));
  return looking;
}

async function poll(method) {
  try {
    // After a silence it may be another sandbox that answers.
    const known = !away;
    if (away) {
      about = await ask("about");
      example();
      newest = 0;
      records = new Map();
      list.replaceChildren();
    }
    const seen = await ask(`events?after=${newest}`, method);
    away = seen.sandbox !== about.sandbox; // one that was started between two looks
    if (away) return await poll("GET");
    show(seen, !known);
    pending(await ask("behaviours"));
    linked("good", _("Live"));
  } catch {
    away = true;
    linked("bad", _("The sandbox does not answer"));
  }
}

async function forever() {
  await look("GET");
  setTimeout(forever, 1000);
}

// ---- Buttons.

function example() {
  const url = location.origin;
  const event = JSON.stringify({
    cnct_tracking_id: "track-1", event_name: "Purchase", sendout_id: "campaign-1",
    attribution: { meta_ctwa: { ctwa_clid: "click-1", ad_id: "ad-1" } },
    payload: { currency: "USD", value: 99.97, order_id: "ORD-7821", event_time: Math.floor(Date.now() / 1000) },
  });
  at("base").textContent = url;
  at("example").textContent = [
    `curl ${url}${about.path}`,
    `  -H "X-API-KEY: $CONNECTLY_API_KEY"`,
    `  -H "Content-Type: application/json"`,
    `  -d '${event}'`,
  ].join(" \\\n");
}

function wanted(behaviour) {
  const scope = at("script").elements.scope.value;
  const document = { behaviour };
  // 500*2 already has a number of times.
  const counted = /^[^:]+\*\s*[0-9]+$/.test(behaviour);
  if (scope === "once" && !counted) document.times = 1;
  if (scope === "times" && !counted) document.times = Number(at("times").value);
  if (at("order").value) document.order_id = at("order").value;
  return document;
}

async function misbehave(behaviour) {
  try {
    pending(await ask("behaviours", "POST", wanted(behaviour)));
    at("error").textContent = "";
    at("news").textContent = `${at("banner-title").textContent}: ${at("pending").textContent}`;
  } catch (error) {
    at("error").textContent = told(error.message);
  }
}

for (const button of at("script").querySelectorAll("[data-behaviour]"))
  button.addEventListener("click", () => misbehave(button.dataset.behaviour
    .replace("SECONDS", () => at("seconds").value)
    .replace("MESSAGE", () => at("message").value)));

at("script").addEventListener("submit", (event) => {
  event.preventDefault();
  const own = at("own").value.trim();
  if (own) misbehave(own);
  else at("own").focus();
});

function scoped() {
  const times = at("times").value;
  at("times-field").hidden = at("script").elements.scope.value !== "times";
  at("scope-times").textContent = times || "…";
}
at("script").addEventListener("input", scoped);

at("behave").addEventListener("click", async () => {
  try {
    pending(await ask("behaviours", "DELETE"));
    at("news").textContent = _("The sandbox answers normally again.");
    at("misbehave").querySelector("summary").focus();
  } catch {
    linked("bad", _("The sandbox does not answer"));
  }
});

at("clear").addEventListener("click", async () => {
  await look("DELETE");
  at("news").textContent = _("Cleared.");
  list.focus();
});

function fold(on) {
  folded = on;
  at("fold").textContent = on ? _("Expand JSON") : _("Collapse JSON");
  at("fold").setAttribute("aria-pressed", String(on));
  for (const details of list.querySelectorAll("details")) details.open = !on;
}
at("fold").addEventListener("click", () => fold(!folded));

at("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(at("example").textContent);
    at("copy").textContent = _("Copied");
  } catch {
    getSelection().selectAllChildren(at("example"));
    at("copy").textContent = _("Selected");
  }
  at("news").textContent = at("copy").textContent;
  setTimeout(() => { at("copy").textContent = _("Copy"); }, 2000);
});

at("misbehave").open = wide.matches;
wide.addEventListener("change", () => { at("misbehave").open = wide.matches; });

async function begin() {
  await chooseLanguage();
  fold(folded);
  scoped();
  example();
  forever();
}
begin();
