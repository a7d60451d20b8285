// The page: its views, the token, the colours, and the stream of states that keeps it up to date.

import { hasToken, listen, Problem, setToken, whenRefused, words } from "./api.js";
import { byId, setText } from "./dom.js";
import { duration } from "./format.js";
import * as config from "./config.js";
import * as explain from "./explain.js";
import * as overview from "./overview.js";
import * as purge from "./purge.js";
import * as requests from "./requests.js";
import * as urls from "./urls.js";

const VIEWS = { overview, requests, urls, explain, purge, config };
const STAGES = { starting: "Starting", ready: "Ready", shutting_down: "Shutting down", draining: "Draining" };
/** Seconds between attempts to reach a gateway that is gone. */
const WAITS = [1, 2, 3, 5];

let shown = null;
let needsToken = false;
let isFollowing = false;

function startViews() {
  const open = {
    explain(url) {
      location.hash = "explain";
      explain.explainUrl(url);
    },
    purge(kind, value) {
      location.hash = "purge";
      purge.prepare(kind, value);
    },
  };
  for (const view of Object.values(VIEWS)) view.start(open);
  addEventListener("hashchange", showView);
  showView();
}

function showView() {
  const name = location.hash.slice(1);
  if (name === "main") return;
  const next = name in VIEWS ? name : "overview";
  if (next === shown) return;
  VIEWS[shown]?.hide?.();
  for (const view of Object.keys(VIEWS)) byId(`view-${view}`).hidden = view !== next;
  for (const link of byId("views").children) {
    if (link.hash === `#${next}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  shown = next;
  scrollTo(0, 0);
  if (!needsToken) VIEWS[next].show?.();
}

function startTheme() {
  const { dataset } = document.documentElement;
  const choice = byId("theme");
  choice.value = dataset.theme ?? "system";
  choice.addEventListener("change", () => {
    if (choice.value === "system") delete dataset.theme;
    else dataset.theme = choice.value;
    try {
      localStorage.setItem("bookend-theme", dataset.theme ?? "");
    } catch {
      // Storage is switched off: the choice holds as long as the page is open.
    }
  });
}

function startToken() {
  whenRefused(askForToken);
  byId("token-form").addEventListener("submit", (event) => {
    event.preventDefault();
    setToken(byId("token").value.trim());
    byId("token").value = "";
    needsToken = false;
    byId("token-form").hidden = true;
    byId("main").hidden = false;
    VIEWS[shown].show?.();
    follow();
  });
}

function askForToken() {
  if (needsToken) return;
  needsToken = true;
  setText(byId("token-problem"), hasToken() ? "The gateway did not accept this token." : "");
  byId("main").hidden = true;
  byId("token-form").hidden = false;
  byId("token").focus();
}

function say(state, text) {
  byId("stage").dataset.state = state;
  setText(byId("stage"), text);
}

function notice(text) {
  byId("notice").hidden = !text;
  setText(byId("notice"), text);
}

/** Shows one state after another, and tries again whenever the stream ends. */
async function follow() {
  if (isFollowing) return;
  isFollowing = true;
  for (let attempt = 0; ; attempt += 1) {
    try {
      await listen((status) => {
        attempt = -1;
        update(status);
      });
    } catch (error) {
      if (needsToken) {
        isFollowing = false;
        return say("wait", "Waiting for the token");
      }
      const wait = WAITS[Math.min(Math.max(attempt, 0), WAITS.length - 1)];
      const why = error instanceof Problem ? words(error) : "The gateway does not answer.";
      say("bad", "Not connected");
      document.body.classList.add("is-old");
      notice(`${why} The numbers below are the last ones known. Trying again every few seconds.`);
      await new Promise((resolve) => setTimeout(resolve, wait * 1000));
    }
  }
}

function update(status) {
  document.body.classList.remove("is-old");
  const unavailable = status.unavailable.map((name) => (name === null ? "[upstream]" : `[upstreams.${name}]`));
  const missing = status.missing_certificates;
  notice([
    unavailable.length ? `No server of ${unavailable.join(", ")} is available.` : "",
    missing.length ? `There is no certificate yet for ${missing.join(", ")}.` : "",
  ].filter(Boolean).join(" "));
  say(status.stage === "ready" ? "ok" : "wait", STAGES[status.stage] ?? status.stage);
  const up = status.started ? `, up ${duration((Date.parse(status.at) - Date.parse(status.started)) / 1000)}` : "";
  setText(byId("about"), `${location.host}, version ${status.version}${up}`);
  if (shown === "overview") overview.update(status);
  else overview.keep(status);
}

startTheme();
startToken();
startViews();
follow();
