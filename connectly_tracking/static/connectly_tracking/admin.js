"use strict";
document.addEventListener("DOMContentLoaded", () => {
  // A page that came over http has no clipboard to write to.
  const copy = (text) => {
    if (navigator.clipboard) return navigator.clipboard.writeText(text);
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  };
  for (const button of document.querySelectorAll("[data-connectly-copy]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      await copy(document.getElementById(button.dataset.connectlyCopy).textContent);
      button.textContent = button.dataset.connectlyDone;
      button.focus();
    });
  }
});
