// The status page: polls its own API every few seconds and shows the answers. Tweet texts are only ever set as text,
// never as markup.
"use strict";

const LIVE_MS = 3000, SLOW_MS = 30000;
const API = "api/v1/";
const byId = (id) => document.getElementById(id);
const whole = new Intl.NumberFormat("en");
const airflow = document.querySelector("meta[name=airflow-url]").content;

for (const link of document.querySelectorAll("[data-dag], [data-path]")) {
  link.href = airflow + (link.dataset.path || `/dags/${link.dataset.dag}`);
  link.target = "_top";
}

async function ask(path) {
  const answer = await fetch(API + path, { cache: "no-store" });
  if (!answer.ok) throw new Error(answer.status === 401 || answer.status === 403 ? "Log in again: this session may no longer read." : `The API answered ${answer.status}.`);
  return answer.json();
}

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function span(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 90) return `${Math.round(seconds)} s ago`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 129600) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86400)} days ago`;
}

// X sends these three characters as HTML entities; show them as the author wrote them.
const plain = (text) => text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
const shown = (number) => (number === null || number === undefined ? "–" : whole.format(number));
const before = {};

function showStage(stage) {
  const card = document.querySelector(`[data-stage="${stage.stage}"]`);
  if (!card) return;
  card.querySelector(".count b").textContent = shown(stage.count);
  const lag = card.querySelector(".lag");
  if (lag) lag.textContent = shown(stage.lag);
  card.querySelector(".age").textContent = span(stage.age_seconds);
  const error = card.querySelector(".error");
  error.hidden = !stage.last_error;
  error.textContent = stage.last_error || "";
  card.classList.toggle("good", stage.answers && !stage.last_error && !stage.lag);
  card.classList.toggle("busy", stage.answers && !stage.last_error && stage.lag > 0);
  card.classList.toggle("bad", !stage.answers || Boolean(stage.last_error));
  card.classList.toggle("moving", before[stage.stage] !== undefined && stage.count > before[stage.stage]);
  before[stage.stage] = stage.count;
}

function verdict(state) {
  const silent = state.stages.filter((stage) => !stage.answers).map((stage) => stage.stage);
  const troubled = state.stages.filter((stage) => stage.answers && stage.last_error).map((stage) => stage.stage);
  const failed = state.contracts.filter((contract) => contract.failed).map((contract) => contract.contract);
  const warehouse = state.stages.find((stage) => stage.stage === "warehouse");
  const newest = warehouse && warehouse.age_seconds !== null ? `The newest row arrived ${span(warehouse.age_seconds)}.` : "No tweet has arrived yet.";
  if (state.age_seconds > 30) return ["bad", `A store hangs: this state was read ${span(state.age_seconds)}.`];
  if (silent.length) return ["bad", `No answer: ${silent.join(", ")}.`];
  if (failed.length) return ["bad", `Contracts failed: ${failed.join(", ")}.`];
  if (troubled.length) return ["bad", `Errors in ${troubled.join(", ")}. ${newest}`];
  const waiting = state.stages.filter((stage) => stage.stage !== "warehouse").reduce((sum, stage) => sum + (stage.lag || 0), 0);
  return waiting ? ["busy", `Working: ${whole.format(waiting)} waiting. ${newest}`] : ["good", `All stages are up to date. ${newest}`];
}

function figure(id, value, isBad) {
  byId(id).textContent = value;
  byId(id).parentElement.classList.toggle("bad", Boolean(isBad));
}

async function showState() {
  const state = await ask("pipeline");
  state.stages.forEach(showStage);
  const [kind, words] = verdict(state);
  if (byId("verdict").textContent !== words) byId("verdict").textContent = words;
  byId("verdict").className = kind;
  const failed = state.contracts.filter((contract) => contract.failed).length;
  document.querySelector(".contracts").textContent = state.contracts.length ? `${failed} of ${state.contracts.length}` : "–";
  const dead = (state.dead_letters.land || 0) + (state.dead_letters.transform || 0);
  figure("dead", shown(dead), dead);
  figure("gaps", shown(state.gaps), state.gaps);
  figure("lost", shown(state.lost_pages), state.lost_pages);
  const { month_usd: month, budget_usd: budget } = state.spend;
  figure("spend", month === null ? "–" : `$${Number(month).toFixed(2)}`);
  byId("spend-of").textContent = budget === null ? "spent this month" : `of $${budget} this month`;
  byId("source").textContent = state.x_api_url ? `${state.x_api_url} · ${state.broker}` : "";
  byId("looked").textContent = `checked at ${new Date(state.looked_at).toLocaleTimeString()}`;
  byId("accounts-section").hidden = !state.accounts.length;
  byId("accounts").replaceChildren(...state.accounts.map((account) => {
    const since = account.since ? `, since ${account.since.slice(0, 10)}` : "";
    return element("li", `@${account.username}: ${account.state || "not read"}${since} — ${account.reason || ""}`, "bad");
  }));
  const list = byId("contracts");
  list.replaceChildren(...state.contracts.map((contract) => element("li", contract.failed ? `${contract.contract}: ${contract.failed} failed` : contract.contract, contract.failed ? "bad" : "")));
  if (!state.contracts.length) list.append(element("li", "None have run yet.", "none"));
}

async function showNewest() {
  const { data } = await ask("tweets?limit=12");
  const list = byId("newest");
  list.replaceChildren(...data.map((tweet) => {
    const item = element("li"), by = element("p", undefined, "by");
    by.append(element("b", tweet.author.name || "unknown"));
    if (tweet.author.username) by.append(element("span", `@${tweet.author.username}`));
    if (tweet.created_at) {
      const at = element("time", span((Date.now() - new Date(tweet.created_at)) / 1000));
      at.dateTime = tweet.created_at;
      by.append(at);
    }
    if (tweet.rules.length) by.append(element("span", `rule ${tweet.rules.join(", ")}`));
    const text = element("p", plain(tweet.note_text || tweet.text || ""));
    text.dir = "auto";
    if (tweet.lang) text.lang = tweet.lang;
    item.append(by, text);
    return item;
  }));
  if (!data.length) list.append(element("li", "None yet. The first ones arrive about a minute after the start.", "none"));
}

function bars(hours) {
  const svg = (name, attributes, text) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const width = 480, height = 100, most = Math.max(1, ...hours.map((hour) => hour.tweet_count)), step = width / Math.max(hours.length, 1);
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  hours.forEach((hour, place) => {
    const tall = Math.max((hour.tweet_count / most) * height, hour.tweet_count ? 2 : 0);
    const bar = svg("rect", { x: place * step + 1.5, y: height - tall, width: Math.max(step - 3, 1), height: tall, rx: 2, class: place === hours.length - 1 ? "now" : "" });
    bar.append(svg("title", {}, `${hour.start.slice(11, 16)}: ${whole.format(hour.tweet_count)}`));
    picture.append(bar);
  });
  picture.append(svg("line", { x1: 0, x2: width, y1: height, y2: height, "vector-effect": "non-scaling-stroke" }));
  return picture;
}

async function showDay() {
  const [counts, tags] = await Promise.all([ask("counts"), ask("hashtags?limit=14")]);
  const marks = element("p");
  marks.setAttribute("aria-hidden", "true");
  marks.append(...counts.data.filter((_, place) => place % 6 === 0).slice(0, 4).map((hour) => element("span", hour.start.slice(11, 16))));
  byId("hours").replaceChildren(bars(counts.data), marks);
  byId("hours").setAttribute("aria-label", `Tweets per hour in the last day, ${counts.meta.total} in all: ` + counts.data.map((hour) => `${hour.start.slice(11, 16)} ${hour.tweet_count}`).join(", "));
  byId("tags").replaceChildren(...tags.data.map((tag) => {
    const item = element("li");
    item.append(element("bdi", `#${tag.display_tag}`), element("b", whole.format(tag.tweet_count)));
    return item;
  }));
  if (!tags.data.length) byId("tags").append(element("li", "None yet.", "none"));
}

async function again(show, pause) {
  try {
    if (!document.hidden) await show();
  } catch (problem) {
    byId("verdict").textContent = problem instanceof TypeError ? "The API does not answer." : problem.message;
    byId("verdict").className = "bad";
  }
  setTimeout(again, pause, show, pause);
}

again(showState, LIVE_MS);
again(showNewest, LIVE_MS);
again(showDay, SLOW_MS);
