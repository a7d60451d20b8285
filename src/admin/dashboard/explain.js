// What the gateway would do with a request, laid out from the conclusion down to what it follows from.

import { ask, withQuery, words } from "./api.js";
import { byId, h, prose, setText } from "./dom.js";
import { bytes, count, duration, plural } from "./format.js";

/** What happens, and the colour of the result. */
const HEADLINES = {
  hit: ["Answered from the cache", "hit"],
  stale: ["Answered from the cache, although stale", "stale"],
  validate: ["Stored, but validated first", "validated"],
  miss: ["Not in the cache: the API answers", "miss"],
  pass: ["Passed to the API", "pass"],
  own: ["Answered by the gateway itself", "direct"],
  error: ["Refused by the gateway", "error"],
  unknown: ["Not known", "pass"],
};

let go;

export function start(open) {
  go = open;
  byId("explain-form").addEventListener("submit", (event) => {
    event.preventDefault();
    explain(new FormData(event.target));
  });
}

/** Explains a GET of this URL. */
export function explainUrl(url) {
  const form = byId("explain-form");
  form.reset();
  form.elements.url.value = url;
  explain(new FormData(form));
}

async function explain(form) {
  const method = form.get("method") === "GET" ? "" : form.get("method");
  const fields = form.get("fields").split("\n").filter((line) => line.trim());
  const pairs = [["url", form.get("url").trim()], ["method", method], ...fields.map((field) => ["header", field.trim()])];
  try {
    const answer = await ask(withQuery("/explain", pairs));
    setText(byId("explain-problem"), "");
    byId("explanation").replaceChildren(...laidOut(answer));
    // Read out alone: all of it would be too much.
    setText(byId("explained"), byId("explanation").querySelector("h2").textContent);
  } catch (error) {
    setText(byId("explain-problem"), words(error));
    byId("explanation").replaceChildren();
  }
}

function laidOut(answer) {
  return [verdict(answer), storedPart(answer.stored ?? []), rulesPart(answer.rules), policyPart(answer.policy), fieldsPart(answer)].filter(Boolean);
}

function panel(title, more, ...children) {
  return h("section", { class: "panel" }, h("header", {}, h("h2", {}, title), more ? h("p", { class: "muted" }, more) : null), children);
}

function verdict(answer) {
  const { now, change = [], latest } = answer;
  const [headline, colour] = now ? HEADLINES[now.result] ?? [now.result, "pass"] : [answer.stored?.length ? "Stored" : "Nothing is stored", answer.stored?.length ? "hit" : "miss"];
  const why = now && [h("p", { class: "why" }, prose(now.why), now.section ? h("span", { class: "muted" }, ` ${now.section}`) : null)];
  const cures = change.length ? h("div", { class: "cures" }, h("h3", {}, "To change it"), h("ul", {}, change.map((cure) => h("li", {}, prose(cure))))) : null;
  const url = answer.target ?? answer.url;
  return h("section", { class: `panel verdict is-${colour}` },
    h("p", { class: "request" }, h("b", {}, answer.method ?? "GET"), " ", h("code", {}, url)),
    h("h2", {}, headline),
    why,
    cures,
    facts([
      ["Cache-Status", now?.cache_status && h("code", {}, now.cache_status)],
      ["Reason", now?.reason && h("code", {}, now.reason)],
      ["Route", [h("code", {}, answer.route), answer.route_at ? h("span", { class: "muted" }, ` ${answer.route_at}`) : null]],
      ["Sent to", answer.upstream && [h("code", {}, answer.upstream === "(default)" ? "[upstream]" : `[upstreams.${answer.upstream}]`), " as ", h("code", {}, answer.sent_as)]],
      ["Stored as", answer.stored_as && h("code", {}, answer.stored_as)],
      ["Latest answer", latest && latestWords(latest)],
      ["Refused", answer.refused],
      ["Ambiguous", answer.ambiguous && `${answer.ambiguous.routes.join(" or ")}: ${answer.ambiguous.why}`],
      ["Fills under way", answer.fills ? count(answer.fills) : null],
    ]),
    h("p", { class: "row" }, h("button", { type: "button", click: () => go.purge("url", url) }, "Preview a purge of it")));
}

function facts(rows) {
  const given = rows.filter(([, value]) => value);
  return h("dl", { class: "facts" }, given.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

function latestWords({ status, seconds_ago: ago, outcome, reason, error, count: number }) {
  const why = reason ?? error;
  return [`${status} ${duration(ago)} ago, ${String(outcome).replaceAll("-", " ")}`, why ? [": ", h("code", {}, why)] : null, `; ${plural(number, "such response")}`];
}

function storedPart(resources) {
  const variants = resources.flatMap(({ key, variants }) => variants.map((variant) => [key, variant]));
  const markers = resources.flatMap(({ key, markers }) => markers.map((marker) => [key, marker]));
  const title = variants.length ? plural(variants.length, "stored response") : "Nothing is stored";
  return panel(title, "", variants.map(([key, variant]) => variantPart(key, variant)), markers.map(([key, marker]) => markerPart(key, marker)));
}

function variantPart(key, variant) {
  const state = variant.fresh ? `fresh for ${duration(variant.ttl)}` : `stale for ${duration(-variant.ttl)}`;
  const matches = variant.matches === false ? h("p", { class: "differs" }, "Not for this request: ", prose(variant.differs.join("; "))) : null;
  return h("article", { class: "variant" },
    h("h3", {}, h("i", { class: `swatch of-${variant.fresh ? "hit" : "stale"}` }), h("code", {}, key)),
    matches,
    facts([
      ["Status", String(variant.status)],
      ["State", `${state}; age ${duration(variant.age)} of ${duration(variant.lifetime)} (${variant.lifetime_from})`],
      ["Content", `${bytes(variant.content_bytes)}${variant.complete ? "" : ", not complete"}`],
      ["Validated each time", variant.must_validate],
      ["Selected by", variant.selected_by?.length ? variant.selected_by.map((selector) => (typeof selector === "string" ? selector : JSON.stringify(selector))).join(", ") : null],
      ["Tags", variant.groups?.length ? variant.groups.join(", ") : null],
    ]),
    h("details", {}, h("summary", {}, plural(variant.fields.length, "field")), h("pre", {}, variant.fields.map(([name, value]) => `${name}: ${value}`).join("\n"))));
}

function markerPart(key, marker) {
  return h("article", { class: "variant" },
    h("h3", {}, h("i", { class: "swatch of-miss" }), h("code", {}, key)),
    h("p", {}, "Proved uncacheable, ", h("code", {}, marker.why), marker.sentence ? [": ", prose(marker.sentence)] : null, ` Remembered for ${duration(marker.for_seconds)} more.`),
    h("p", { class: "cure" }, prose(marker.cure)));
}

function rulesPart(rules) {
  if (!rules?.length) return null;
  return panel("Rules, in their order", "", h("ol", { class: "rules" }, rules.map(({ rule, section, outcome }) =>
    h("li", {}, h("b", {}, rule), h("span", {}, prose(outcome)), h("span", { class: "muted" }, section)))));
}

function policyPart(policy) {
  if (!policy?.length) return null;
  const rows = policy.map(({ name, value, section, at }) =>
    h("tr", { class: at ? "is-set" : "" }, h("td", {}, h("code", {}, name)), h("td", {}, String(value)), h("td", { class: "muted" }, at ? `${section} ${at}` : "default")));
  return panel("Policy of the route", "each value, and where it comes from", h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Policy" },
    h("table", { class: "policy" }, h("thead", {}, h("tr", {}, ["Key", "Value", "From"].map((label) => h("th", { scope: "col" }, label)))), h("tbody", {}, rows))));
}

function fieldsPart({ credentials, key_by: keyBy, request_fields: request, response_fields: response, gates }) {
  const edits = (fields) => fields && ["remove", "set", "add"].filter((what) => fields[what]?.length).map((what) => `${what} ${fields[what].join(", ")}`).join("; ");
  const key = [...(keyBy?.fields ?? []), ...(keyBy?.cookies ?? []).map((cookie) => `cookie ${cookie}`)].join(", ");
  return panel("On the way", "", facts([
    ["Credentials", credentials && `${credentials.fields.join(", ")}: ${credentials.why}`],
    ["Part of the key", key],
    ["Request fields", edits(request)],
    ["Response fields", edits(response)],
    ["Gates", gates?.map(gateWords).join("; ")],
  ]));
}

/** What a request meets before the cache. */
function gateWords({ allow, deny, auth, cors, respond }) {
  return [
    allow?.length ? `allow ${allow.join(", ")}` : "",
    deny?.length ? `deny ${deny.join(", ")}` : "",
    auth ? "auth" : "",
    cors ? `cors for ${cors.origins.join(", ")}` : "",
    respond ? `respond with ${respond.status}` : "",
  ].filter(Boolean).join(", ");
}
