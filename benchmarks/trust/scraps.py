"""What bad input is made of: values, texts, headers and addresses that have broken servers before."""

TARGETS = (
    b"/",
    b"/docs",
    b"/healthz",
    b"/readyz",
    b"/openapi",
    b"/v1/models",
    b"/static/desk.js",
    b"/desk",
    b"/shelf",
    b"/about",
)

FIELDS = {
    b"/v1/completions": (
        *(
            "model",
            "prompt",
            "max_tokens",
            "temperature",
            "top_p",
            "n",
            "best_of",
            "stream",
            "stream_options",
            "logprobs",
        ),
        *("echo", "stop", "seed", "suffix", "presence_penalty", "frequency_penalty", "logit_bias", "user", "top_k"),
        *("min_p", "repetition_penalty", "genre", "ignore_eos", "unknown"),
    ),
    b"/api/plots": ("prompt", "genre", "length", "wildness", "avoid", "seed", "unknown"),
    b"/desk": (
        *("token", "plot", "text", "do", "choose", "genre", "length", "wildness", "avoid", "seed", "unknown"),
        "title",
    ),
}

DEEP = 20_000
"""Levels of brackets: more than any stack has."""

NUMBERS = (
    *("0", "-0", "-1", "1", "2", "3", "5", "16", "17", "20", "21", "64", "65", "127", "128", "511", "512", "513"),
    *("0.0", "-0.0", "0.5", "1.0", "1.5", "2.0001", "-2.0001", "9.99", "10.0001", "1e-5", "9e-6", "1e-320", "5e-324"),
    *("2147483647", "2147483648", "4294967296", "-9223372036854775809", "9223372036854775807", "9223372036854775808"),
    *("18446744073709551615", "18446744073709551616", "1e19", "1e308", "-1e308", "1e309", "1e400", "-1e400"),
    *("9" * 400, "9" * 5000, "0." + "3" * 5000, "1e999999999", "NaN", "Infinity", "-Infinity", "0x10", "01", "+1"),
    "1_0",
)
"""As JSON or nearly: at bounds, beyond them, infinite, subnormal, and what is no number."""

VALUES = (
    *NUMBERS,
    *(
        f"[{number}]"
        for number in ("0", "-1", "6143", "6144", "399", "400", "1e400", "9223372036854775808", "1.5", "NaN")
    ),
    *("null", "true", "false", "undefined", '""', '" "', '"any"', '"Crime"', '"1"', '"NaN"', '"\\u0000"', '"\\ud800"'),
    *("[]", "{}", "[[]]", "[null]", "[true]", '[""]', '["a",1]', "[1,[2]]", "[[1],[2]]", '["a",["b"]]', "[[[1]]]"),
    *('{"0":1}', '{"-1":1}', '{"0":101}', '{"0":1e400}', '{"0":NaN}', '{"a":1}', '{"1.5":1}', '{"6144":1}'),
    '{"0":null}',
    *('{"0":1,"0":2}', '{"include_usage":1}', '{"include_usage":true}', '{"18446744073709551616":1}', '{"":1}'),
    "[" + ",".join(["0"] * 600) + "]",
    "[" + ",".join(['"a"'] * 200) + "]",
    "{" + ",".join(f'"{token}":1' for token in range(1025)) + "}",
    *(f'"{letter * 100_000}"' for letter in ("a", " ", "1", "é", "😀")),
    "[" * DEEP + "]" * DEEP,
    '{"a":' * DEEP + "1" + "}" * DEEP,
)
"""Spelled as JSON, or as what some take for it."""

BODIES = (
    b"",
    b" ",
    b"\0",
    b"\xef\xbb\xbf{}",
    b"\xff\xfe{\0}\0",
    b"\xfe\xff\0{\0}",
    *(b"{", b"}", b"[", b"]", b"[]", b'"', b'""', b"null", b"true", b"1", b"1e400", b"-", b"{}{}", b"{},", b"nul"),
    *(b'{"prompt"}', b'{"prompt":}', b'{"prompt":"a"', b"{'prompt':'a'}", b'{prompt:"a"}', b'{"prompt":"a",}', b"{]"),
    *(b'{"prompt":"\xff"}', b'{"prompt":"\xc0\x80"}', b'{"prompt":"\xed\xa0\x80"}', b'{"prompt":"\xf4\x90\x80\x80"}'),
    *(b'{"prompt":"\\ud83d"}', b'{"prompt":"\\ude00\\ud83d"}', b'{"prompt":"\\u12"}', b'{"prompt":"\\x41"}'),
    *(b'{"prompt":"a\nb"}', b'{"prompt":"a\0b"}', b'{"prompt":"a","prompt":1}', b'{"\\ud800":1}', b'{"\xff":1}'),
    *(b'{"model":"' + b"m" * 100_000 + b'"}', b'{"prompt":"' + b"\\u0041" * 40_000 + b'"}'),
    *(b"[" * 100_000, b'{"a":' * 50_000, b"[" * 50_000 + b"]" * 50_000, b'{"prompt":' + b"[" * 100_000),
    *(b'{"prompt":' + b"9" * 200_000 + b"}", b"{" + b",".join(b'"%d":0' % n for n in range(20_000)) + b"}"),
    *(b"a" * 262_144, b"a" * 262_145, b'{"prompt":"' + b"a" * 262_130 + b'"}', b" " * 262_144),
)
"""No JSON, or JSON that nobody means."""

TYPES = (
    *(b"", b"text/plain", b"application/json; charset=utf-16", b"application/json;" * 100, b"APPLICATION/JSON", b"*/*"),
    *(b"application/x-www-form-urlencoded; charset=utf-7", b"application/msgpack", b"multipart/form-data", b"/"),
    b";;=",
    *(b"application/vnd.a+json", b"application/octet-stream", b"\xff\xfe", b'text/html; charset="', b"a" * 1000),
)
"""Content types."""

FORM_VALUES = (
    *("", " ", "any", "Crime", "crime", "Crime\0", "line", "LINE", "lines ", "3", "03", "3.0", "+3", "3e0", "٣", "³"),
    *("Ⅲ", "½"),
    *("1_0", "0" * 10, "9" * 9, "9" * 10, "9" * 5000, "-1", "1e9", "0x1", "NaN", "inf", "None", "null", "true", "[]"),
    *("a" * 7_000, "a" * 100_000, " " * 100_000, "\n" * 1000, "\r\n\r\n", "\0", "%", "%%", "%0", "%00", "%zz", "%ff"),
    *("{text}", "{0}", "{genre.__class__}", "{{", "}", "%s%n", "${7*7}", "{{7*7}}", "<script>alert(1)</script>"),
    "'\"><",
    *("<|endoftext|>", "../../etc/passwd", "file:///etc/passwd", "; rm -rf /", "' OR 1=1 --", "\x1b[31m"),
)
"""As typed into a form, or into a header."""

STRANGE = (
    *("\u200b", "\u200d", "\ufeff", "\u202e", "\u2066", "\u061c", "\u00ad", "\u2028", "\u2029", "\u0085", "\u180e"),
    *("e" + "\u0301" * 60, "\u0301" * 100, "Z" + "\u0336\u0337\u0338" * 40, "\u1100\u1161\u11a8" * 5, "\u0e33" * 30),
    *("👩‍👩‍👧‍👦", "🏳️‍🌈", "🇵🇹" * 9, "👍🏿", "\ue000", "\uf8ff", "\U000f0000", "\U0010ffff", "\uffff", "\ufffe"),
    "\ufdd0",
    *("\ud800", "\udfff", "\udcff", "\x00", "\x07", "\x1b", "\x7f", "\x85", "ﷺ" * 20, "ﬃ", "ß", "İ", "ı", "ΐ", "𝔘"),
    *("שלום", "السلام", "漢" * 50, "ก็็็็็็็็็็", "'" * 200, "'s" * 100, " " * 300, "\t" * 50, "\n" * 50, "\r" * 9),
    "\u3000" * 20,
    *("a" * 500, "aA" * 100, "1" * 300, "😀" * 100, ".", "…" * 40, "-" * 200, "=" * 64, "<|endoftext|>", "\\", '"'),
    "</span>",
)
"""Texts, some of them with half a surrogate pair."""

PATHS = (
    *(b"/..", b"/../", b"/../../../../etc/passwd", b"/./.", b"/%2e%2e/%2e%2e/etc/passwd", b"/%2e", b"/..%2f..%2fetc"),
    *(b"/..%5c..%5c", b"/%252e%252e/", b"/%c0%ae%c0%ae/", b"/.../", b"//", b"//example.org/", b"///", b"/\\..\\.."),
    b"/~root",
    *(b"/%00", b"/desk.js%00.css", b"/%0d%0aX:%20y", b"/%ff", b"/%", b"/%zz", b"/%u0041", b"/%ed%a0%80"),
    *(b"/\xff\xfe", b"/\xc3\xa9"),
    *(b"/.git/config", b"/.env", b"/server/app.py", b"/bundle.json", b"/models/%2e%2e", b"/;a=b", b"/{id}", b"/*"),
    *(b"*", b""),
    *(b"/" + b"a" * 5_000, b"/" + b"a" * 60_000, b"/a" * 3_000, b"/%41" * 2_000, b"/" + b"%00" * 3_000),
    b"/?" + b"&" * 9_000,
    *(b"http://example.org/", b"https://127.0.0.1/", b"http://", b"example.org:443", b"/#fragment", b"/ HTTP/1.1"),
    b"/a b",
    *(b"/events", b"/events/", b"/AAAAAAAAAAAAAAAAAAAAAA", b"/AAAAAAAAAAAAAAAAAAAAAA/events", b"/null", b"/-1", b"/[]"),
)
"""Pieces of addresses."""

HEADERS = (
    *(b"Cookie", b"Authorization", b"Accept", b"Accept-Encoding", b"Accept-Language", b"Range", b"If-None-Match"),
    *(b"If-Modified-Since", b"If-Range", b"Origin", b"Referer", b"X-Forwarded-For", b"X-Forwarded-Proto", b"Forwarded"),
    *(b"X-Real-IP", b"X-HTTP-Method-Override", b"X-Request-ID", b"traceparent", b"Host", b"Expect", b"Upgrade"),
    b"Trailer",
    *(b"Connection", b"Content-Encoding", b"Content-Type", b"Content-Length", b"Transfer-Encoding", b"TE"),
    b"Sec-Fetch-Site",
)

METHODS = (
    *(b"HEAD", b"OPTIONS", b"PUT", b"PATCH", b"DELETE", b"TRACE", b"CONNECT", b"PROPFIND", b"PRI", b"get", b"POST"),
    b"GET",
    *(b"G\0T", b"G" * 9_000, b"", b"*", b"\xff", b"GET,POST", b"M-SEARCH"),
)

VERSIONS = (
    *(b"HTTP/0.9", b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2.0", b"HTTP/2", b"HTTP/9.9", b"HTTP/1.1.1", b"HTTP/1"),
    b"HTTP/-1.1",
    *(b"http/1.1", b"HTTP/1,1", b"HTTPS/1.1", b"", b"HTTP/1.1 ", b"HTTP/11", b"RTSP/1.0", b"HTTP/" + b"1" * 5_000),
)

LENGTHS = (
    *(b"-1", b"0", b"1", b"5", b"+5", b"5,5", b"5, 6", b"5\r\nContent-Length: 6", b"0x5", b"5.0", b"", b" ", b"five"),
    b"\xb2",
    *(b"99999", b"262144", b"262145", b"9" * 15, b"9" * 20, b"9" * 21, b"9" * 400, b"18446744073709551615"),
)
"""Content-Length, mostly not that of the body."""

CHUNKED = (
    *(b"0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", b"5\r\nhel", b"5\r\nhello\r\n", b"5\r\nhello0\r\n\r\n"),
    b"3\r\nhello\r\n0\r\n\r\n",
    *(b"-1\r\n", b"\r\n", b"g\r\n", b"0x5\r\nhello\r\n0\r\n\r\n", b"5;a=b\r\nhello\r\n0\r\n\r\n"),
    b"5;" + b"a" * 70_000 + b"\r\n",
    *(b"FFFFFFFF\r\nhello\r\n", b"FFFFFFFFFFFFFFFFFFFF\r\nhello\r\n", b"F" * 5_000, b"5\nhello\n0\n\n"),
    b"0\r\nTrailer: x\r\n\r\n",
    *(b"2\r\n{}\r\n0\r\nContent-Length: 5\r\n\r\n", b"1\r\n{\r\n" * 3_000 + b"0\r\n\r\n"),
    b"0\r\n" + b"A: b\r\n" * 20_000,
    b"40000\r\n" + b"a" * 0x40000 + b"\r\n40000\r\n" + b"a" * 0x40000 + b"\r\n0\r\n\r\n",
)

MULTIPART = tuple(
    (content, b"multipart/form-data; boundary=" + boundary)
    for boundary in (b"b", b"", b'"b', b"b" * 3_000, b"\xff")
    for content in (
        b"",
        b"--b--",
        b'--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nA fox\r\n--b--\r\n',
        b'--b\r\nContent-Disposition: form-data; name="prompt"; filename="../../a"\r\n\r\n\xff\r\n--b--\r\n',
        b'--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nno end',
        b"--b\r\nContent-Disposition: form-data\r\n\r\n\r\n--b--\r\n" * 2_000,
        b"--b\r\n" + b"X: y\r\n" * 5_000 + b"\r\n\r\n--b--\r\n",
    )
)
"""Body and content type; mostly with another boundary than the body's."""

HOSTS = (
    *(
        b"",
        b":",
        b"a:b",
        b"a:99999",
        b"a:-1",
        b": 127.0.0.1",
        b"[",
        b"[::1",
        b"[::1]:8000",
        b"]:1",
        b"a b",
        b"a@b:1",
        b"\xff",
    ),
    *(
        b"%00",
        b"a" * 300,
        b"a." * 3_000,
        b"127.0.0.1:",
        b"127.0.0.1:8000:8000",
        b"evil.example",
        b"<b>",
        b"a/b",
        b"a?b#c",
    ),
)
