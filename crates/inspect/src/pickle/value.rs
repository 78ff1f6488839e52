use std::rc::Rc;

/// What stands for an object. It never holds another one itself: what nests lies in a [`Structure`], so that no depth of
/// nesting is a depth of recursion.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `None`.
    None,
    /// A truth value.
    Bool(bool),
    /// An integer of 64 bits.
    Int(i64),
    /// A longer integer, as it is written: little-endian, two's complement.
    Long(Rc<[u8]>),
    /// A number.
    Float(f64),
    /// A text of at most 4 KiB; the bytes of Python 2 are one too.
    Text(Rc<str>),
    /// Bytes, of which only the number is kept.
    Bytes(u64),
    /// A global: its place in [`super::Trace::globals`].
    Global(usize),
    /// What holds others: its place in the structure.
    Node(usize),
    /// Something that is not followed: too long, too much, or from outside.
    Unknown,
}

/// Something that holds others.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Its elements; in turn keys and values where it has keys. Those that a call's result was given lie here too.
    pub items: Vec<Value>,
    /// Whether elements are missing, because there are too many.
    pub cut: bool,
    /// How it came to be, if by a call.
    pub call: Option<Box<Call>>,
}

/// What kind of thing holds others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// `list`
    #[default]
    List,
    /// `tuple`
    Tuple,
    /// `dict`
    Dict,
    /// `set` or `frozenset`
    Set,
    /// What a call gives.
    Object,
    /// An object that lies outside; its one item is its id.
    Persistent,
}

/// A call that the pickle makes.
#[derive(Clone, Debug)]
pub struct Call {
    /// What is called, or the class of which an object is made.
    pub callee: Value,
    /// With what: mostly a tuple.
    pub arguments: Value,
    /// The state that the object is given afterwards.
    pub state: Value,
}

/// What a pickle holds, as far as it is kept.
#[derive(Clone, Debug, Default)]
pub struct Structure {
    pub(super) nodes: Vec<Node>,
    pub(super) bytes: usize,
    pub(super) root: Option<Value>,
}

impl Structure {
    /// What the pickle gives.
    #[must_use]
    pub fn root(&self) -> &Value {
        self.root.as_ref().unwrap_or(&Value::Unknown)
    }

    /// All that is held, whether or not the root leads to it.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter()
    }

    /// The node that `value` is.
    #[must_use]
    pub fn node(&self, value: &Value) -> Option<&Node> {
        match value {
            Value::Node(at) => self.nodes.get(*at),
            _ => None,
        }
    }

    /// The elements of a tuple.
    #[must_use]
    pub fn tuple(&self, value: &Value) -> Option<&[Value]> {
        let node = self.node(value).filter(|node| node.kind == Kind::Tuple)?;
        Some(&node.items)
    }

    /// The call by which `value` came to be.
    #[must_use]
    pub fn call(&self, value: &Value) -> Option<&Call> {
        self.node(value)?.call.as_deref()
    }

    /// Pairs of a dict, or of an object that was given items.
    pub fn pairs(&self, value: &Value) -> impl Iterator<Item = (&Value, &Value)> {
        let items = match self.node(value) {
            Some(node) if matches!(node.kind, Kind::Dict | Kind::Object) => node.items.as_slice(),
            _ => &[],
        };
        items.chunks_exact(2).map(|pair| (&pair[0], &pair[1]))
    }

    /// The value at a key of a dict.
    #[must_use]
    pub fn get(&self, value: &Value, key: &str) -> Option<&Value> {
        let mut pairs = self.pairs(value);
        pairs
            .find(|(name, _)| matches!(name, Value::Text(text) if **text == *key))
            .map(|(_, value)| value)
    }

    /// A value in a few words, for people.
    #[must_use]
    pub fn describe(&self, value: &Value) -> String {
        let mut text = String::new();
        self.write(value, 3, &mut text);
        if text.chars().count() > 120 {
            text = text.chars().take(119).collect();
            text.push('…');
        }
        text
    }

    fn write(&self, value: &Value, depth: usize, text: &mut String) {
        if text.len() > 480 {
            return;
        }
        match value {
            Value::None => text.push_str("None"),
            Value::Bool(true) => text.push_str("True"),
            Value::Bool(false) => text.push_str("False"),
            Value::Int(number) => text.push_str(&number.to_string()),
            Value::Float(number) => text.push_str(&number.to_string()),
            Value::Text(words) => text.push_str(&format!("{:?}", words.chars().take(80).collect::<String>())),
            Value::Bytes(count) => text.push_str(&format!("{count} bytes")),
            Value::Global(_) => text.push_str("a global"),
            Value::Long(_) | Value::Unknown => text.push('…'),
            Value::Node(_) if depth == 0 => text.push('…'),
            Value::Node(at) => {
                let Some(node) = self.nodes.get(*at) else { return };
                let (open, close) = match node.kind {
                    Kind::List => ('[', ']'),
                    Kind::Tuple => ('(', ')'),
                    Kind::Dict | Kind::Set => ('{', '}'),
                    Kind::Object => ('<', '>'),
                    Kind::Persistent => ('|', '|'),
                };
                text.push(open);
                for (at, item) in node.items.iter().take(8).enumerate() {
                    if at > 0 {
                        text.push_str(", ");
                    }
                    self.write(item, depth - 1, text);
                }
                text.push(close);
            }
        }
    }
}
