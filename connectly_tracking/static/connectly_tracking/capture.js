/* Tells the shop of a landing that Django did not see. */
(function (script) {
  function capture(url) {
    if (!/cnct_tracking_id=/.test(url)) return;
    var endpoint = script.dataset.endpoint;
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
    var entry = performance.getEntriesByType("navigation")[0];
    capture(entry && entry.name) || capture(location);
  }
  window.connectlyCapture = function () {
    capture(location);
  };
  document.prerendering
    ? document.addEventListener("prerenderingchange", land, { once: true })
    : land();
})(document.currentScript);
