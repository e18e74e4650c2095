"""Where each target begins. Imports nothing of ours, so that the targets can be."""

from __future__ import annotations

from typing import Final

KEY: Final = "sentinel-KEY/0f9e8d7c"
SEEDS: Final[dict[str, list[bytes]]] = {
    "link": [
        b"cnct_tracking_id=t&sendout_id=s&ctwa_clid=c&ad_id=1"
        b"&attribution_source=meta_ctwa",
        b"a=1?cnct_tracking_id=%22t%22&amp;sendout_id=s).",
        b"\n/cnct_tracking_id=t&sendout_id=s/",
        b"https://shop.example/?cnct%5Ftracking%5Fid=t",
    ],
    "answer": [
        b'\x00\xc8\n{"events_received": 1}',
        b'\x01\x90\n{"error": {"code": 190, "error_subcode": 463}}',
        b"\x01\xad120\nslow down",
        b"\x01\xf7Sun, 29 Nov 2026 10:00:00 GMT\n",
    ],
    "orders": [
        b"order_id,value,currency,event_time,cnct_tracking_id\n"
        b"A-1,9.99,USD,2026-11-29T10:00:00Z,track-1\n",
        b'\xef\xbb\xbforder_id,value,currency,event_time,content_ids\r\n"A",1,USD,'
        b'1764410000,"[""a""]"\r\n',
    ],
    "names": [
        b"sendout_id,campaign_name,sent,delivered\nsend-1,Summer,10,9\n",
        b"ad_id;name\n120210;Ad\n",
    ],
    "token": [b"1AAAAAAAAAAAAAAAAAAAAAA" + b"B" * 22],
    "secret": [
        KEY.encode(),
        KEY.replace("/", "\\/").encode(),
        KEY.replace("/", "%2F").encode(),
        KEY.encode().hex().encode(),
    ],
}
