// Asks what became of the order until that is settled, and a minute at most.
(() => {
  const list = document.querySelector("[data-watch]");
  let left = 60;
  const ask = async () => {
    left -= 1;
    let settled = false;
    try {
      const answer = await fetch(list.dataset.visit);
      const visit = await answer.json();
      show(visit.steps);
      settled = visit.settled;
    } catch {
      // The next question may be answered.
    }
    if (!settled && left) {
      setTimeout(ask, 1000);
    }
  };
  const show = (steps) => {
    const said = Array.from(list.children, (item) => item.textContent);
    if (said.join("\n") === steps.map((step) => step.text).join("\n")) {
      return; // so that it is not read out again
    }
    list.replaceChildren(
      ...steps.map((step) =>
        Object.assign(document.createElement("li"), {
          className: step.tone,
          textContent: step.text,
        }),
      ),
    );
  };
  setTimeout(ask, 1000);
})();
