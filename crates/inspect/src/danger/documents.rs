//! JSON: configs of Keras and of Hugging Face, and the templates in them.

use std::{fmt, io::BufReader};

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{
    Scanner, jinja,
    names::{self, Known},
};
use crate::{Bytes, Error, Reader, Result, inflate::Run};

impl Scanner<'_> {
    /// Looks through a document, whatever it is about.
    pub(super) fn json(&mut self, bytes: &dyn Bytes) -> Result<()> {
        if bytes.size() > self.limits.header_bytes {
            self.report(
                super::Severity::Info,
                "too-large",
                format!("a document of {} bytes is not looked at", bytes.size()),
            );
            return Ok(());
        }
        let mut seen = Seen::default();
        let reader = BufReader::with_capacity(64 << 10, Run::new(Borrowed(bytes)));
        let mut deserializer = serde_json::Deserializer::from_reader(reader);
        let read = Walk {
            seen: &mut seen,
            key: "",
        }
        .deserialize(&mut deserializer);
        if let Err(error) = read
            && error.is_io()
        {
            return Err(Error::Read {
                offset: 0,
                source: error.into(),
            });
        }
        for layer in seen.layers {
            self.keras_object(&layer.class, layer.module.as_deref(), layer.registered.as_deref());
        }
        for template in seen.templates {
            self.template(&template);
        }
        if seen.has_custom_code {
            self.suspicious(
                "custom-code",
                "it names code of its own to be run (auto_map, or trust_remote_code)",
            );
        }
        Ok(())
    }

    /// An object that Keras would make.
    pub(super) fn keras_object(&mut self, class: &str, module: Option<&str>, registered: Option<&str>) {
        match class {
            "Lambda" | "__lambda__" => {
                return self.dangerous(
                    "keras-lambda",
                    "a Lambda layer: Python bytecode that runs when it is loaded",
                );
            }
            "TFSMLayer" => {
                return self.dangerous("keras-lambda", "a TFSMLayer: it loads a graph from a path");
            }
            _ => {}
        }
        let Some(module) = module else { return };
        let first = module.split('.').next().unwrap_or(module);
        if matches!(
            first,
            "keras" | "keras_hub" | "keras_nlp" | "keras_cv" | "tf_keras" | "tensorflow" | "numpy" | ""
        ) {
            return;
        }
        let named = registered.filter(|name| !name.is_empty()).unwrap_or(class);
        let detail = format!("a config that makes Keras import {module}.{named}");
        let is_inert = first == "builtins" && !matches!(class, "function" | "builtin_function_or_method");
        match names::known(module, class) {
            Known::Harmless => {}
            Known::Dangerous(_) if is_inert => {}
            Known::Dangerous(_) => self.dangerous("keras-import", detail),
            Known::Unknown => self.suspicious("keras-import", detail),
        }
    }

    /// A file that is a template.
    pub(super) fn template_file(&mut self, bytes: &dyn Bytes) -> Result<()> {
        if bytes.size() > self.limits.text_bytes {
            self.suspicious("template", "a template that is too long to be looked at");
            return Ok(());
        }
        let text = Reader::new(bytes, "template").take(bytes.size())?;
        self.template(&String::from_utf8_lossy(&text));
        Ok(())
    }

    pub(super) fn template(&mut self, template: &str) {
        for reach in jinja::reaches(template) {
            self.report(
                reach.severity,
                "template",
                format!("a template of Jinja: {}", reach.what),
            );
        }
    }
}

/// What a document has that matters.
#[derive(Default)]
struct Seen {
    layers: Vec<Layer>,
    templates: Vec<String>,
    has_custom_code: bool,
}

#[derive(Default)]
struct Layer {
    class: String,
    module: Option<String>,
    registered: Option<String>,
}

/// Objects and templates of a document that are kept.
const MOST: usize = 10_000;
const TEMPLATES: usize = 100;

/// Walks through a document without keeping it. Names and depth are serde_json's to bound.
struct Walk<'a> {
    seen: &'a mut Seen,
    /// The key under which the value stands.
    key: &'a str,
}

impl Walk<'_> {
    fn text(self, text: &str) {
        // A template may be a list of them, or text that only looks as if it were none.
        let is_template = self.key.contains("template") || text.contains("{{") || text.contains("{%");
        if is_template && self.seen.templates.len() < TEMPLATES {
            self.seen.templates.push(text.to_owned());
        }
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> std::result::Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    /// The value, if it is a short text.
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E>(self, text: &str) -> std::result::Result<Self::Value, E> {
        let short = (text.len() <= 1024).then(|| text.to_owned());
        self.text(text);
        Ok(short)
    }

    fn visit_bool<E>(self, value: bool) -> std::result::Result<Self::Value, E> {
        if value && self.key == "trust_remote_code" {
            self.seen.has_custom_code = true;
        }
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> std::result::Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> std::result::Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> std::result::Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> std::result::Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<Self::Value, A::Error> {
        while seq
            .next_element_seed(Walk {
                seen: self.seen,
                key: self.key,
            })?
            .is_some()
        {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self::Value, A::Error> {
        let mut layer = None;
        let mut module = None;
        let mut registered = None;
        while let Some(key) = map.next_key::<String>()? {
            if key == "auto_map" {
                self.seen.has_custom_code = true;
            }
            if key.len() > 1024 {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let value = map.next_value_seed(Walk {
                seen: self.seen,
                key: &key,
            })?;
            match key.as_str() {
                "class_name" => layer = value,
                "module" => module = value,
                "registered_name" => registered = value,
                _ => {}
            }
        }
        if let Some(class) = layer
            && self.seen.layers.len() < MOST
        {
            self.seen.layers.push(Layer {
                class,
                module,
                registered,
            });
        }
        Ok(None)
    }
}

/// A borrowed file, as something that owns itself wants it.
struct Borrowed<'a>(&'a dyn Bytes);

impl Bytes for Borrowed<'_> {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> std::io::Result<()> {
        self.0.read_at(offset, into)
    }
}

/// Text inside of a text: Keras writes configs into attributes as JSON.
pub(super) fn quoted(text: &[u8]) -> Option<String> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    String::deserialize(&mut deserializer).ok()
}
