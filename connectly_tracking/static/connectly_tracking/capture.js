/* Tells the shop of a landing on a page that the shop itself did not serve. */
(function (document, navigator) {
  var script = document.currentScript;
  var query = location.search.slice(1);
  function tell() {
    var endpoint = script.getAttribute("data-endpoint");
    if (!(navigator.sendBeacon && navigator.sendBeacon(endpoint, query))) {
      fetch(endpoint, {
        method: "POST",
        body: query,
        mode: "no-cors",
        credentials: "include",
        keepalive: true
      });
    }
  }
  if (!script || query.indexOf("cnct_tracking_id=") < 0) return;
  if (document.prerendering) {
    document.addEventListener("prerenderingchange", tell, { once: true });
  } else {
    tell();
  }
})(document, navigator);
