//! Requests as clients send them, with something wrong in most.

use modelkeep_core::media;

/// Numbers that a seed decides (splitmix64).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).unwrap_or(0)
    }

    pub(crate) fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }

    pub(crate) fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

/// Names that mean something to the registry under test.
pub(crate) struct Known {
    pub(crate) blob: String,
    pub(crate) manifest: String,
    pub(crate) upload: String,
}

/// The manifest that the registry has, over a config of two bytes.
pub(crate) fn manifest(config: &str) -> String {
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"{config}","size":2}},"layers":[]}}"#,
        media::OCI_MANIFEST
    )
}

const METHODS: &[&str] = &[
    "GET", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "get", "BREW", "",
];
pub(crate) const NAMES: &[&str] = &[
    "a/b",
    "a/b",
    "a/b",
    "a",
    "none",
    "A",
    "a/../b",
    "a%2fb",
    "%00",
    "_x",
    "a//b",
    "\u{e9}",
    "%ff",
    "tags/list",
    "_modelkeep/history",
    "..",
];
pub(crate) const TAGS: &[&str] = &[
    "1.0",
    "1.1",
    "latest",
    ".",
    "..",
    "%2e%2e",
    "sha256-0",
    "-x",
    "a b",
    "1.0%00",
    "\u{1f600}",
];
pub(crate) const NUMBERS: &[&str] = &[
    "0",
    "1",
    "-1",
    "2",
    "+1",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999999999",
    "1e9",
    "0x10",
    "",
    " ",
    "null",
    "1.5",
    "\u{661}",
];
const TYPES: &[&str] = &[
    media::OCI_MANIFEST,
    media::OCI_MANIFEST,
    media::OCI_MANIFEST,
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/json",
    "text/plain; charset=x",
    "",
    ";",
    "a/b, c/d",
];
const FIELDS: &[&str] = &[
    "Range",
    "Content-Range",
    "Content-Length",
    "Transfer-Encoding",
    "If-None-Match",
    "If-Match",
    "If-Range",
    "Accept",
    "Authorization",
    "Expect",
    "Connection",
    "Host",
    "Content-Type",
    "Content-Encoding",
    "X-Forwarded-For",
    "Origin",
    "Upgrade",
    "TE",
    "Trailer",
    "",
];
const VALUES: &[&str] = &[
    "bytes=0-1",
    "bytes=1-",
    "bytes=-1",
    "bytes=5-2",
    "bytes=0-0,1-1",
    "0-1",
    "0-511",
    "bytes 0-1/2",
    "chunked",
    "identity",
    "gzip, chunked",
    "*",
    "\"x\"",
    "W/\"",
    "100-continue",
    "close",
    "keep-alive",
    "Basic YWRhOnNlY3JldA==",
    "Bearer mk1.e30.AA",
    "a",
    ",",
    "\u{0}",
    "\t",
    "\r",
];
pub(crate) const PIECES: &[&str] = &[
    "%",
    "%0",
    "%00",
    "%2f",
    "..",
    "//",
    "?",
    "&",
    "=",
    "#",
    ":",
    ";",
    "\"",
    "\\",
    "{",
    "}",
    "[",
    "]",
    ",",
    "\r\n",
    "\n",
    "\r\n\r\n",
    " ",
    "\u{0}",
    "\u{feff}",
    "sha256:",
    "sha512:",
    "HTTP/1.0",
    "chunked",
    "null",
    "true",
    "1e400",
    "\\ud800",
    "\\u0000",
    "0\r\n\r\n",
    "-",
    "+",
];
const KEYS: &[&str] = &[
    "schemaVersion",
    "mediaType",
    "config",
    "layers",
    "manifests",
    "subject",
    "annotations",
    "artifactType",
    "digest",
    "size",
    "urls",
    "data",
    "platform",
    "blobs",
    "fsLayers",
    "\u{0}",
];

/// One to three requests on one connection, some broken.
pub(crate) fn exchange(random: &mut Random, known: &Known) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..=random.below(3) {
        bytes.extend(request(random, known));
    }
    damage(random, &mut bytes);
    bytes
}

fn request(random: &mut Random, known: &Known) -> Vec<u8> {
    let (method, target, body) = match random.below(10) {
        0..4 => {
            let body = manifest_body(random, known);
            (
                "PUT",
                format!("/v2/{}/manifests/{}", name(random), reference(random, known)),
                body,
            )
        }
        4..6 => {
            let method = random.pick(&["POST", "PATCH", "PUT", "GET", "DELETE"]);
            (method, upload_target(random, known), blob_body(random))
        }
        _ => (random.pick(METHODS), target(random, known), Vec::new()),
    };
    let target = format!("{target}{}", query(random, known));
    framed(random, method, &target, &body)
}

fn name(random: &mut Random) -> &'static str {
    if random.one_in(2) {
        "a/b"
    } else {
        random.pick(NAMES)
    }
}

fn digest(random: &mut Random, known: &Known) -> String {
    match random.below(8) {
        0..2 => known.blob.clone(),
        2..4 => known.manifest.clone(),
        4 => format!("sha256:{:064x}", random.next()),
        5 => format!("sha512:{:0128x}", random.next()),
        6 => format!(
            "{}:{}",
            random.pick(&["sha256", "md5", "SHA256", "", "sha256+b64"]),
            random.pick(NUMBERS)
        ),
        _ => known
            .blob
            .replace(':', random.pick(&["%3A", "%3a", "::", "@", "%00"])),
    }
}

fn reference(random: &mut Random, known: &Known) -> String {
    if random.one_in(2) {
        random.pick(TAGS).to_owned()
    } else {
        digest(random, known)
    }
}

fn upload_target(random: &mut Random, known: &Known) -> String {
    let id = match random.below(5) {
        0..3 => known.upload.clone(),
        3 => String::new(),
        _ => random
            .pick(&[
                "..",
                "%2e%2e%2fformat",
                "0",
                "g",
                "00000000000000000000000000000000",
            ])
            .to_owned(),
    };
    format!("/v2/{}/blobs/uploads/{id}", name(random))
}

fn target(random: &mut Random, known: &Known) -> String {
    let name = name(random);
    match random.below(9) {
        0 => format!("/v2/{name}/blobs/{}", digest(random, known)),
        1 => format!("/v2/{name}/manifests/{}", reference(random, known)),
        2 if random.below(2) == 0 => format!("/v2/{name}/_modelkeep/history"),
        2 => format!("/v2/{name}/tags/list"),
        3 => format!("/v2/{name}/referrers/{}", digest(random, known)),
        4 => "/v2/_catalog".to_owned(),
        5 => upload_target(random, known),
        6 => random
            .pick(&[
                "/v2/",
                "/v2",
                "/",
                "*",
                "/token",
                "/healthz",
                "/readyz",
                "/metrics",
                "//",
                "http://a/v2/",
                "",
            ])
            .to_owned(),
        7 => format!("/v2/{}", "a/".repeat(random.below(300))),
        _ => format!("/{}/{}", random.pick(PIECES), random.pick(PIECES)),
    }
}

fn query(random: &mut Random, known: &Known) -> String {
    let mut text = String::new();
    for number in 0..[0, 0, 1, 1, 2, 4, 150][random.below(7)] {
        text.push(if number == 0 { '?' } else { '&' });
        let key = random.pick(&[
            "n",
            "last",
            "digest",
            "mount",
            "from",
            "tag",
            "artifactType",
            "digest-algorithm",
            "_state",
            "%00",
            "",
        ]);
        let value = match random.below(5) {
            0 => random.pick(NUMBERS).to_owned(),
            1 => random.pick(PIECES).to_owned(),
            2 => random.pick(TAGS).to_owned(),
            3 => random
                .pick(&["a/b", "none", "../..", "sha256", "sha512", "rot13"])
                .to_owned(),
            _ => digest(random, known),
        };
        text.push_str(&format!("{key}={value}"));
    }
    text
}

/// A request with its head, and its body sized or chunked, mostly right.
fn framed(random: &mut Random, method: &str, target: &str, body: &[u8]) -> Vec<u8> {
    let mut head = format!("{method} {target} HTTP/1.1\r\nHost: registry\r\n");
    if !body.is_empty() && !random.one_in(8) {
        head.push_str(&format!("Content-Type: {}\r\n", random.pick(TYPES)));
    }
    for _ in 0..[0, 0, 1, 3][random.below(4)] {
        let value = if random.one_in(3) {
            random.pick(NUMBERS)
        } else {
            random.pick(VALUES)
        };
        head.push_str(&format!("{}: {value}\r\n", random.pick(FIELDS)));
    }
    if random.one_in(4) {
        let mut bytes = format!("{head}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
        for chunk in body.chunks(random.below(4096) + 1) {
            bytes.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
            bytes.extend(chunk);
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"0\r\n\r\n");
        return bytes;
    }
    let length = match random.one_in(12) {
        true => random.pick(NUMBERS).to_owned(),
        false => body.len().to_string(),
    };
    [format!("{head}Content-Length: {length}\r\n\r\n").as_bytes(), body].concat()
}

fn blob_body(random: &mut Random) -> Vec<u8> {
    match random.below(4) {
        0 => Vec::new(),
        1 => b"{}".to_vec(),
        _ => vec![b'x'; random.below(9000)],
    }
}

/// The right manifest, one of random JSON, or brackets.
fn manifest_body(random: &mut Random, known: &Known) -> Vec<u8> {
    let mut bytes = match random.below(6) {
        0 => {
            let depth = random.below(20_000);
            let (open, close) = [("[", "]"), ("{\"a\":", "}"), ("{\"config\":[", "]}")][random.below(3)];
            format!("{}1{}", open.repeat(depth), close.repeat(depth))
        }
        1..3 => json(random, known, 4),
        _ => manifest(&known.blob),
    }
    .into_bytes();
    if random.one_in(2) {
        damage(random, &mut bytes);
    }
    bytes
}

fn json(random: &mut Random, known: &Known, depth: usize) -> String {
    match random.below(if depth == 0 { 5 } else { 8 }) {
        0 => random.pick(NUMBERS).to_owned(),
        1 => format!("\"{}\"", random.pick(PIECES)),
        2 => format!("\"{}\"", digest(random, known)),
        3 => format!("\"{}\"", random.pick(TYPES)),
        4 => random.pick(&["null", "true", "2", "{}", "[]"]).to_owned(),
        5 => {
            let items: Vec<String> = (0..random.below(4))
                .map(|_| json(random, known, depth - 1))
                .collect();
            format!("[{}]", items.join(","))
        }
        _ => {
            let mut fields = Vec::new();
            for _ in 0..random.below(8) {
                let key = random.pick(KEYS);
                let value = match key {
                    "schemaVersion" => "2".to_owned(),
                    "mediaType" if random.one_in(2) => format!("\"{}\"", media::OCI_MANIFEST),
                    "size" if random.one_in(2) => "2".to_owned(),
                    _ => json(random, known, depth - 1),
                };
                fields.push(format!("\"{key}\":{value}"));
            }
            format!("{{{}}}", fields.join(","))
        }
    }
}

/// Breaks bytes in a few places, or in none.
pub(crate) fn damage(random: &mut Random, bytes: &mut Vec<u8>) {
    for _ in 0..[0, 0, 0, 1, 2, 6][random.below(6)] {
        let at = random.below(bytes.len() + 1);
        let length = random.below(16).min(bytes.len() - at);
        match random.below(7) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..at + length)),
            2 => {
                let again = bytes[at..at + length].to_vec();
                bytes.splice(at..at, again);
            }
            3 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            4 => {
                let number = random.pick(NUMBERS).bytes();
                bytes.splice(at..at + length, number);
            }
            5 => {
                let filler = vec![b"a/%\0\xff["[random.below(6)]; random.below(2000)];
                bytes.splice(at..at, filler);
            }
            _ => {
                let piece = random.pick(PIECES).bytes();
                bytes.splice(at..at, piece);
            }
        }
    }
}

/// A request with credentials, or for a token, mostly wrong.
pub(crate) fn token_request(random: &mut Random) -> Vec<u8> {
    const SCOPES: &[&str] = &[
        "repository:a/b:pull",
        "repository:a/b:pull,push",
        "repository(plugin):a:pull",
        "registry:catalog:*",
        "repository:::",
        ":",
        "repository:a:*,delete,nothing",
        "%00",
        "a%20b%20c",
        "repository:%ff:pull",
    ];
    const PARAMETERS: &[&str] = &[
        "service",
        "scope",
        "account",
        "client_id",
        "grant_type",
        "username",
        "password",
        "refresh_token",
        "access_type",
        "offline_token",
        "",
    ];
    const TEXTS: &[&str] = &[
        "modelkeep",
        "password",
        "refresh_token",
        "offline",
        "ada",
        "secret",
        "true",
        "+",
        "%",
        "%zz",
        "%c3%28",
        "",
    ];
    const CREDENTIALS: &[&str] = &[
        "Basic YWRhOndyb25n",
        "Basic YWRh",
        "Basic",
        "Basic \u{0}",
        "Basic Og==",
        "basic  YWRhOng=",
        "Bearer",
        "Bearer ..",
        "Bearer mk1.e30.AAAA",
        "Bearer mk1.eyJhIjoxfQ.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "Bearer \u{e9}",
        "Digest a=b",
        "",
        "Negotiate",
    ];
    let mut form = String::new();
    for number in 0..[0, 1, 3, 6, 300][random.below(5)] {
        let value = if random.one_in(2) {
            random.pick(SCOPES)
        } else {
            random.pick(TEXTS)
        };
        let separator = if number == 0 {
            ""
        } else {
            random.pick(&["&", "&", ";", "&&"])
        };
        form.push_str(&format!("{separator}{}={value}", random.pick(PARAMETERS)));
    }
    let credentials = match random.one_in(2) {
        true => format!("Authorization: {}\r\n", random.pick(CREDENTIALS)),
        false => String::new(),
    };
    let mut bytes = match random.below(3) {
        0 => format!("GET /token?{form} HTTP/1.1\r\nHost: a\r\n{credentials}\r\n"),
        1 => format!("GET /v2/a/b/tags/list HTTP/1.1\r\nHost: a\r\n{credentials}\r\n"),
        _ => format!(
            "POST /token HTTP/1.1\r\nHost: a\r\n{credentials}Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
            form.len()
        ),
    }
    .into_bytes();
    damage(random, &mut bytes);
    bytes
}
