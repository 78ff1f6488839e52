//! Vocabularies: `tokenizer.json` of the tokenizers library, `vocab.txt`, `vocab.json`; and which tokens have a role.

use std::{
    fmt,
    io::{self, BufReader, Read},
};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

use super::{kept, text};
use crate::{Bytes, Error, Reader, Result, record};

const FORMAT: &str = "tokenizer";
/// Largest file that is read. It is read as a stream; only its tokens are kept.
const MOST_FILE: u64 = 64 << 20;
/// Most tokens: the largest vocabularies have 262,144.
const MOST_TOKENS: usize = 400_000;
/// Most bytes of all tokens together.
const MOST_BYTES: usize = 8 << 20;

/// The tokens of a vocabulary and their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vocabulary {
    /// The kind of the tokenizer, where the file names one.
    pub kind: Option<String>,
    /// Number and text of each token, in order.
    pub tokens: Vec<(u64, String)>,
    bytes: usize,
}

/// Whether a vocabulary is read from a file of this name.
#[must_use]
pub fn is_vocabulary(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    ["tokenizer.json", "vocab.json", "vocab.txt"].contains(&name)
}

impl Vocabulary {
    /// Reads the file of this name.
    ///
    /// # Errors
    /// [`Error`].
    pub fn read(path: &str, bytes: &dyn Bytes) -> Result<Self> {
        Error::bound(FORMAT, "bytes", bytes.size(), MOST_FILE)?;
        let stream = BufReader::new(Stream(Reader::new(bytes, FORMAT)));
        let mut vocabulary = if path.ends_with(".txt") {
            Self::lines(stream)?
        } else if path.ends_with("vocab.json") {
            serde_json::from_reader::<_, Tokens>(stream).map_err(wrong)?.0
        } else {
            let file: TokenizerJson = serde_json::from_reader(stream).map_err(wrong)?;
            let Model { kind, vocab } = file.model;
            let mut vocabulary = vocab.0;
            vocabulary.kind = kind.as_deref().and_then(kept);
            for (id, token) in file.added_tokens.0.tokens {
                vocabulary.push(id, token).map_err(|most| too_much(&most))?;
            }
            vocabulary
        };
        // What is added may stand in the vocabulary too.
        vocabulary.tokens.sort_unstable();
        vocabulary.tokens.dedup();
        Ok(vocabulary)
    }

    fn lines(stream: impl Read) -> Result<Self> {
        let mut vocabulary = Self::default();
        let mut raw = Vec::new();
        stream
            .take(MOST_BYTES as u64 * 2)
            .read_to_end(&mut raw)
            .map_err(|source| Error::Read { offset: 0, source })?;
        let text = String::from_utf8(raw).map_err(|_| Error::malformed(FORMAT, 0, "it is no UTF-8"))?;
        for (n, line) in text.lines().enumerate() {
            vocabulary
                .push(n as u64, line.to_owned())
                .map_err(|most| too_much(&most))?;
        }
        Ok(vocabulary)
    }

    fn push(&mut self, id: u64, token: String) -> std::result::Result<(), String> {
        self.bytes += token.len();
        if self.tokens.len() == MOST_TOKENS || self.bytes > MOST_BYTES {
            return Err(format!(
                "more than {MOST_TOKENS} tokens or {MOST_BYTES} bytes of them"
            ));
        }
        self.tokens.push((id, token));
        Ok(())
    }

    /// A fingerprint of tokens and numbers.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for (id, token) in &self.tokens {
            hasher.update(&id.to_le_bytes());
            hasher.update(&(token.len() as u64).to_le_bytes());
            hasher.update(token.as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }
}

fn too_much(most: &str) -> Error {
    Error::malformed(FORMAT, 0, most.to_owned())
}

fn wrong(error: serde_json::Error) -> Error {
    if error.is_io() {
        return Error::Read {
            offset: 0,
            source: error.into(),
        };
    }
    Error::malformed(FORMAT, 0, error.to_string())
}

/// Puts what `tokenizer_config.json` or `special_tokens_map.json` says into the record.
pub(crate) fn apply(config: &Map<String, Value>, tokenizer: &mut record::Tokenizer) {
    tokenizer.kind = text(config, "tokenizer_class").or(tokenizer.kind.take());
    for role in ["bos", "eos", "unk", "sep", "pad", "cls", "mask"] {
        let value = config.get(&format!("{role}_token"));
        // Either the token, or an object that describes it.
        let token = value.and_then(|value| value.as_str().or_else(|| value.get("content")?.as_str()));
        if let Some(token) = token.and_then(kept) {
            tokenizer.special.insert(role.to_owned(), token);
        }
    }
}

struct Stream<'a>(Reader<'a>);

impl Read for Stream<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = into
            .len()
            .min(usize::try_from(self.0.left()).unwrap_or(usize::MAX));
        self.0.fill(&mut into[..length]).map_err(io::Error::other)?;
        Ok(length)
    }
}

#[derive(Deserialize)]
struct TokenizerJson {
    #[serde(default)]
    model: Model,
    #[serde(default)]
    added_tokens: Added,
}

#[derive(Default, Deserialize)]
struct Model {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    vocab: Tokens,
}

/// An object from token to number, or a list of pairs that begin with the token.
#[derive(Default)]
struct Tokens(Vocabulary);

impl<'de> Deserialize<'de> for Tokens {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Tokens;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a vocabulary")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Tokens, A::Error> {
                let mut vocabulary = Vocabulary::default();
                while let Some((token, id)) = map.next_entry()? {
                    vocabulary.push(id, token).map_err(A::Error::custom)?;
                }
                Ok(Tokens(vocabulary))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> std::result::Result<Tokens, A::Error> {
                let mut vocabulary = Vocabulary::default();
                while let Some((token, _)) = list.next_element::<(String, IgnoredAny)>()? {
                    let id = vocabulary.tokens.len() as u64;
                    vocabulary.push(id, token).map_err(A::Error::custom)?;
                }
                Ok(Tokens(vocabulary))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// A list of objects with `id` and `content`.
#[derive(Default)]
struct Added(Vocabulary);

impl<'de> Deserialize<'de> for Added {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Token {
            id: u64,
            content: String,
        }
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Added;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of tokens")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> std::result::Result<Added, A::Error> {
                let mut vocabulary = Vocabulary::default();
                while let Some(Token { id, content }) = list.next_element()? {
                    vocabulary.push(id, content).map_err(A::Error::custom)?;
                }
                Ok(Added(vocabulary))
            }
        }
        deserializer.deserialize_seq(List)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str, text: &str) -> Result<Vocabulary> {
        Vocabulary::read(path, &text.as_bytes().to_vec())
    }

    #[test]
    fn the_same_vocabulary_has_the_same_fingerprint_in_each_format() {
        let same = [
            ("vocab.txt", "a\nb\n[PAD]\n"),
            ("vocab.json", r#"{"b":1,"[PAD]":2,"a":0}"#),
            (
                "tokenizer.json",
                r#"{"version":"1.0","added_tokens":[{"id":2,"content":"[PAD]","special":true}],
                "model":{"type":"WordPiece","vocab":{"a":0,"[PAD]":2,"b":1},"merges":["a b"]}}"#,
            ),
            (
                "x/tokenizer.json",
                r#"{"model":{"vocab":[["a",-1.5],["b",0],["[PAD]",0]]}}"#,
            ),
        ];
        let read: Vec<Vocabulary> = same
            .iter()
            .map(|(path, text)| read(path, text).unwrap())
            .collect();
        assert!(
            read.iter()
                .all(|vocabulary| vocabulary.fingerprint() == read[0].fingerprint())
        );
        assert_eq!(read[2].kind.as_deref(), Some("WordPiece"));
        assert_eq!(read[2].tokens.len(), 3);
    }

    #[test]
    fn what_is_no_vocabulary_is_refused() {
        for text in [
            "",
            r#"{"model":{"vocab":3}}"#,
            r#"{"model":{"vocab":{"a":-1}}}"#,
            r#"{"added_tokens":[{}]}"#,
            "{",
        ] {
            assert!(read("tokenizer.json", text).is_err(), "{text}");
        }
        let many: String = (0..=MOST_TOKENS).map(|n| format!("{n}\n")).collect();
        assert!(read("vocab.txt", &many).is_err());
        let long = format!(
            r#"{{"model":{{"vocab":{{"{}":0}}}}}}"#,
            "x".repeat(MOST_BYTES + 1)
        );
        assert!(read("tokenizer.json", &long).is_err());
        let deep = format!(r#"{{"model":{}"#, "[".repeat(100_000));
        assert!(read("tokenizer.json", &deep).is_err());
    }

    #[test]
    fn tokens_with_a_role_are_texts_or_objects() {
        let config = r#"{"tokenizer_class":"BertTokenizer","pad_token":"[PAD]","eos_token":{"content":"</s>","lstrip":false},"bos_token":null}"#;
        let mut tokenizer = record::Tokenizer::default();
        apply(&serde_json::from_str(config).unwrap(), &mut tokenizer);
        assert_eq!(tokenizer.kind.as_deref(), Some("BertTokenizer"));
        let special: Vec<_> = tokenizer
            .special
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        assert_eq!(special, [("eos", "</s>"), ("pad", "[PAD]")]);
    }
}
