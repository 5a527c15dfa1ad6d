// SPDX-License-Identifier: Apache-2.0
"use strict";

const said = document.getElementById("said");

// ask sends a request, and shows the page anew when it was granted; otherwise it says why not.
async function ask(url, options) {
  said.textContent = "";
  try {
    const answer = await fetch(url, options);
    if (answer.ok) return location.reload();
    said.textContent = (await answer.json()).error;
  } catch {
    said.textContent = "The service does not answer.";
  }
}

document.getElementById("new").addEventListener("submit", (event) => {
  event.preventDefault();
  const note = Object.fromEntries(new FormData(event.target));
  ask("/notes", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(note) });
});

document.getElementById("notes").addEventListener("click", (event) => {
  const id = event.target.dataset.note;
  if (id) ask("/notes/" + id, { method: "DELETE" });
});
