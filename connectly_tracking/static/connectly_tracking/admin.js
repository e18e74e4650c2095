"use strict";
document.addEventListener("DOMContentLoaded", () => {
  for (const button of document.querySelectorAll("[data-connectly-copy]")) {
    if (!navigator.clipboard) continue; // only on a page that came over https
    button.hidden = false;
    button.addEventListener("click", async () => {
      const source = document.getElementById(button.dataset.connectlyCopy);
      await navigator.clipboard.writeText(source.textContent);
      button.textContent = button.dataset.connectlyDone;
    });
  }
});
