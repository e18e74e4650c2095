/* Tells the shop of a landing on a page that the shop itself did not serve. */
(function (document, navigator) {
  var script = document.currentScript;
  var query = location.search.slice(1);
  function tell() {
    var endpoint = script.getAttribute("data-endpoint");
    // Last: on a page that names no referrer, a beacon does not name the origin.
    if (
      (window.Request && "keepalive" in Request.prototype) ||
      !(navigator.sendBeacon && navigator.sendBeacon(endpoint, query))
    ) {
      fetch(endpoint, {
        method: "POST",
        body: query,
        mode: "no-cors",
        credentials: "include",
        referrerPolicy: "strict-origin",
        keepalive: true
      }).catch(function () {});
    }
  }
  if (!script || query.indexOf("cnct_tracking_id=") < 0) return;
  if (document.prerendering) {
    document.addEventListener("prerenderingchange", tell, { once: true });
  } else {
    tell();
  }
})(document, navigator);
