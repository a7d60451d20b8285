// Express with its own weak ETags and the compression, cors and static middlewares.
"use strict";
const express = require("express");
const compression = require("compression");
const cors = require("cors");

const languages = { en: "Hello", de: "Guten Tag", fr: "Bonjour" };
const app = express();
const book = { title: "1984" };

app.use(compression({ threshold: 500 }));
app.use(express.json());
app.use("/static", express.static(process.env.FILES, { maxAge: "1m" }));

app.get("/books", (request, response) =>
  response.json(Array.from({ length: 200 }, (_, n) => ({ id: n, title: `Book ${n}` }))));
app.get("/books/1", (request, response) => response.set("Cache-Control", "public, max-age=60").json(book));
app.put("/books/1", (request, response) => response.json(Object.assign(book, request.body)));
app.delete("/books/1", (request, response) => response.set("Allow", "GET, HEAD, PUT").status(405).end());
app.get("/private", (request, response) => {
  const user = (request.get("Authorization") || "").replace("Bearer ", "");
  if (!["ada", "bob"].includes(user)) {
    return response.set("WWW-Authenticate", "Bearer").status(401).json({ error: "who are you?" });
  }
  response.set("Cache-Control", "private, max-age=0, must-revalidate").json({ user });
});
app.get("/language", (request, response) => {
  const chosen = request.acceptsLanguages(Object.keys(languages)) || "en";
  response.vary("Accept-Language").set("Content-Language", chosen).set("Cache-Control", "max-age=60").send(languages[chosen]);
});
app.get("/shared", cors({ origin: ["http://app.example"], credentials: true }), (request, response) =>
  response.set("Cache-Control", "max-age=60").json({ shared: true }));
app.get("/session", (request, response) => {
  if (!/visit=/.test(request.get("Cookie") || "")) response.cookie("visit", "1");
  response.set("Cache-Control", "max-age=60").json({ welcome: true });
});
app.get("/status/:code", (request, response) => response.status(Number(request.params.code)).json({ status: request.params.code }));
app.get("/moved", (request, response) => response.redirect(301, "/books/1"));
app.get("/nothing", (request, response) => response.status(204).end());
app.get("/stream", (request, response) => {
  response.type("text/plain");
  for (let n = 0; n < 100; n += 1) response.write(`line ${n}\n`);
  response.end();
});
app.post("/upload", (request, response) => {
  let length = 0;
  request.on("data", (chunk) => { length += chunk.length; });
  request.on("end", () => response.json({ length }));
});

const server = app.listen(Number(process.argv[2]), "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
