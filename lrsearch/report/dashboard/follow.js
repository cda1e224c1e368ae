// Looks every few seconds whether the page, or the report in its frame, has changed, and shows the
// new one at the same place. Nothing is loaded again while its ETag is the same.
"use strict";
const SECONDS = 3;
const frame = document.querySelector("iframe");
const says = document.querySelector("#says");
const follows = document.querySelector("#follows");
const address = frame ? frame.getAttribute("src") : location.href;
let etag = null;

function showLater() {
  const shown = frame ? frame.contentWindow : window;
  const x = shown.scrollX, y = shown.scrollY;
  if (!frame) {
    sessionStorage.setItem("lrsearch-scroll", JSON.stringify([x, y]));
    location.reload();
    return;
  }
  frame.addEventListener("load", () => frame.contentWindow.scrollTo(x, y), { once: true });
  shown.location.reload();
}

async function look() {
  try {
    const answer = await fetch(address, {
      method: "HEAD", cache: "no-store", headers: etag ? { "If-None-Match": etag } : {},
    });
    if (!answer.ok && answer.status !== 304) {
      says.textContent = "the database does not answer; what you see may be old";
    } else {
      const now = answer.headers.get("ETag");
      if (answer.status === 200 && etag !== null && now !== etag && follows.checked) {
        etag = now;
        showLater();
        says.textContent = "changed at " + new Date().toLocaleTimeString();
      } else if (answer.status === 200 && etag !== null && now !== etag) {
        says.textContent = "there is a later state";
      } else {
        etag = etag ?? now;
        if (!says.textContent.startsWith("changed")) says.textContent = "";
      }
    }
  } catch {
    says.textContent = "the dashboard has ended";
  }
  setTimeout(look, 1000 * SECONDS);
}

const place = sessionStorage.getItem("lrsearch-scroll");
if (!frame && place) {
  sessionStorage.removeItem("lrsearch-scroll");
  scrollTo(...JSON.parse(place));
}
look();
