/* Tells the shop of a landing that Django did not see. */
(function (tag) {
  function capture(url) {
    if (!/cnct[\W_]*tracking[\W_]*id/i.test(unescape(unescape(url)))) return;
    var endpoint = tag.dataset.endpoint;
    // Last: it may hide the origin.
    if (
      (window.Request && "keepalive" in Request.prototype) ||
      !(navigator.sendBeacon && navigator.sendBeacon(endpoint, url))
    )
      fetch(endpoint, {
        method: "POST",
        body: url,
        mode: "no-cors",
        credentials: "include",
        referrerPolicy: "strict-origin",
        keepalive: true
      }).catch(function () {});
    return 1;
  }
  function land() {
    // The page may have changed its address.
    var nav = performance.getEntriesByType("navigation")[0];
    capture(nav && nav.name) || capture(location);
  }
  window.connectlyCapture = capture.bind(0, location);
  document.prerendering
    ? document.addEventListener("prerenderingchange", land, { once: true })
    : land();
})(document.currentScript);
