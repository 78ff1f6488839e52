use std::{collections::HashMap, rc::Rc};

use modelkeep_core::ByteRange;

use super::{
    Bounds, FORMAT, Global, Reach, Structure, Trace,
    arrays::{self, Raw},
    text,
    value::{Call, Kind, Node, Value},
};
use crate::{Error, Part, Reader, Result};

/// Opcodes that are tried of what joblib would take for an array.
const HIDDEN_OPCODES: u64 = 4096;
/// How far the opcodes are looked for.
const HIDDEN_BYTES: u64 = 64 << 10;
/// Embedded strings that are remembered.
const MOST_EMBEDDED: usize = 1000;
/// Most of an embedded text.
const EMBEDDED_TEXT: u64 = 1 << 20;

/// Follows one pickle.
pub(super) fn run(
    reader: &mut Reader<'_>,
    trace: &mut Trace,
    bounds: &Bounds,
    depth: usize,
) -> Result<Structure> {
    if depth > bounds.depth {
        return Err(reader.malformed("pickles in pickles, too deep"));
    }
    let mut machine = Machine {
        reader,
        trace,
        bounds,
        depth,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: Memo::default(),
        outer: None,
        structure: Structure::default(),
        reach: Reach::Direct,
    };
    while !machine.step()? {}
    Ok(machine.structure)
}

#[derive(Default)]
struct Memo {
    values: HashMap<u64, Value>,
    bytes: usize,
    /// Whether something was not remembered: what is not there may then have been.
    full: bool,
}

struct Machine<'m, 'b> {
    reader: &'m mut Reader<'b>,
    trace: &'m mut Trace,
    bounds: &'m Bounds,
    depth: usize,
    stack: Vec<Value>,
    /// Heights of the stack at each MARK.
    marks: Vec<usize>,
    memo: Memo,
    /// The memo of the pickle in whose array hidden opcodes are looked for.
    outer: Option<&'m Memo>,
    structure: Structure,
    reach: Reach,
}

impl Machine<'_, '_> {
    /// One opcode; whether it was STOP.
    fn step(&mut self) -> Result<bool> {
        self.trace.opcodes += 1;
        match self.reader.byte()? {
            b'.' => {
                self.structure.root = Some(self.pop()?);
                return Ok(true);
            }
            b'(' => {
                self.room()?;
                self.marks.push(self.stack.len());
            }
            b'0' => match self.marks.last() {
                Some(&mark) if mark == self.stack.len() => drop(self.marks.pop()),
                _ => drop(self.pop()?),
            },
            b'1' => drop(self.pop_mark()?),
            b'2' => {
                let top = self.top()?.clone();
                self.push(top)?;
            }
            b'N' => self.push(Value::None)?,
            0x88 => self.push(Value::Bool(true))?,
            0x89 => self.push(Value::Bool(false))?,
            b'I' => {
                let line = self.line()?;
                let value = match line.as_deref().map(<[u8]>::trim_ascii) {
                    Some(b"00") => Value::Bool(false),
                    Some(b"01") => Value::Bool(true),
                    Some(line) => number(line),
                    None => Value::Unknown,
                };
                self.push(value)?;
            }
            b'L' => {
                let line = self.line()?.unwrap_or_default();
                let line = line.trim_ascii();
                let value = number(line.strip_suffix(b"L").unwrap_or(line));
                self.push(value)?;
            }
            b'F' => {
                let line = self.line()?.unwrap_or_default();
                let number = std::str::from_utf8(&line)
                    .ok()
                    .and_then(|text| text.trim().parse().ok());
                self.push(number.map_or(Value::Unknown, Value::Float))?;
            }
            b'J' => {
                let number = i32::from_le_bytes(self.reader.array()?);
                self.push(Value::Int(number.into()))?;
            }
            b'K' => {
                let number = self.reader.byte()?;
                self.push(Value::Int(number.into()))?;
            }
            b'M' => {
                let number = u16::from_le_bytes(self.reader.array()?);
                self.push(Value::Int(number.into()))?;
            }
            b'G' => {
                let number = f64::from_be_bytes(self.reader.array()?);
                self.push(Value::Float(number))?;
            }
            0x8a => {
                let length = self.reader.byte()?.into();
                self.long(length)?;
            }
            0x8b => {
                let length = self.length4_signed()?;
                self.long(length)?;
            }
            b'S' => {
                let value = match self.line()? {
                    Some(line) => Value::Text(
                        text::quoted(&line)
                            .ok_or_else(|| self.reader.malformed("a STRING without quotes"))?
                            .into(),
                    ),
                    None => Value::Unknown,
                };
                self.push(value)?;
            }
            b'V' => {
                let value = match self.line()? {
                    Some(line) => Value::Text(
                        text::raw_unicode(&line)
                            .ok_or_else(|| self.reader.malformed("a UNICODE with a broken escape"))?
                            .into(),
                    ),
                    None => Value::Unknown,
                };
                self.push(value)?;
            }
            b'U' => {
                let length = self.reader.byte()?.into();
                self.text(length, Encoding::Latin1)?;
            }
            b'T' => {
                let length = self.length4_signed()?;
                self.text(length, Encoding::Latin1)?;
            }
            0x8c => {
                let length = self.reader.byte()?.into();
                self.text(length, Encoding::Utf8)?;
            }
            b'X' => {
                let length = self.length4()?;
                self.text(length, Encoding::Utf8)?;
            }
            0x8d => {
                let length = self.length8()?;
                self.text(length, Encoding::Utf8)?;
            }
            b'C' => {
                let length = self.reader.byte()?.into();
                self.bytes(length)?;
            }
            b'B' => {
                let length = self.length4()?;
                self.bytes(length)?;
            }
            0x8e | 0x96 => {
                let length = self.length8()?;
                self.bytes(length)?;
            }
            // A buffer that is handed over beside the pickle.
            0x97 => self.push(Value::Unknown)?,
            0x98 => drop(self.top()?),
            b']' => self.hold(Kind::List, Vec::new())?,
            b')' => self.hold(Kind::Tuple, Vec::new())?,
            b'}' => self.hold(Kind::Dict, Vec::new())?,
            0x8f => self.hold(Kind::Set, Vec::new())?,
            b'l' => self.gather(Kind::List)?,
            b't' => self.gather(Kind::Tuple)?,
            b'd' => self.gather(Kind::Dict)?,
            0x91 => self.gather(Kind::Set)?,
            count @ 0x85..=0x87 => {
                let items = self.pop_some(usize::from(count - 0x84))?;
                self.hold(Kind::Tuple, items)?;
            }
            b'a' => {
                let items = self.pop_some(1)?;
                self.extend(items)?;
            }
            b's' => {
                let items = self.pop_some(2)?;
                self.extend(items)?;
            }
            b'e' | b'u' | 0x90 => {
                let items = self.pop_mark()?;
                self.extend(items)?;
            }
            b'p' => {
                let line = self.line()?.unwrap_or_default();
                let at = self.index(&line)?;
                self.put(at)?;
            }
            b'q' => {
                let at = self.reader.byte()?.into();
                self.put(at)?;
            }
            b'r' => {
                let at = self.length4()?;
                self.put(at)?;
            }
            0x94 => {
                let at = self.memo.values.len() as u64;
                self.put(at)?;
            }
            b'g' => {
                let line = self.line()?.unwrap_or_default();
                let at = self.index(&line)?;
                self.get(at)?;
            }
            b'h' => {
                let at = self.reader.byte()?.into();
                self.get(at)?;
            }
            b'j' => {
                let at = self.length4()?;
                self.get(at)?;
            }
            b'c' => {
                let global = self.named()?;
                self.push(global)?;
            }
            0x93 => {
                let names = self.pop_some(2)?;
                let global = match names.as_slice() {
                    [Value::Text(module), Value::Text(name)] => self.global(module, name)?,
                    _ => {
                        self.trace.computed_names += 1;
                        Value::Unknown
                    }
                };
                self.push(global)?;
            }
            b'i' => {
                let callee = self.named()?;
                let arguments = self.pop_mark()?;
                let arguments = self.add(Kind::Tuple, arguments);
                self.call(callee, arguments)?;
            }
            b'o' => {
                let mut arguments = self.pop_mark()?;
                if arguments.is_empty() {
                    return Err(self.reader.malformed("OBJ of nothing"));
                }
                let callee = arguments.remove(0);
                let arguments = self.add(Kind::Tuple, arguments);
                self.call(callee, arguments)?;
            }
            b'R' | 0x81 => {
                let arguments = self.pop()?;
                let callee = self.pop()?;
                self.call(callee, arguments)?;
            }
            0x92 => {
                let _keywords = self.pop()?;
                let arguments = self.pop()?;
                let callee = self.pop()?;
                self.call(callee, arguments)?;
            }
            b'b' => self.build()?,
            b'P' => {
                let id = match self.line()? {
                    Some(line) => Value::Text(text::latin_1(&line).into()),
                    None => Value::Unknown,
                };
                self.trace.persistent += 1;
                self.hold(Kind::Persistent, vec![id])?;
            }
            b'Q' => {
                let id = self.pop()?;
                self.trace.persistent += 1;
                self.hold(Kind::Persistent, vec![id])?;
            }
            bytes @ 0x82..=0x84 => {
                self.reader.skip(1 << (bytes - 0x82))?;
                self.trace.extensions += 1;
                self.push(Value::Unknown)?;
            }
            0x80 => {
                let protocol = self.reader.byte()?;
                if protocol > 5 {
                    return Err(self.reader.malformed(format!("protocol {protocol} is not known")));
                }
            }
            0x95 => self.reader.skip(8)?,
            other => return Err(self.reader.malformed(format!("0x{other:02x} is no opcode"))),
        }
        Ok(false)
    }

    fn underflow(&self) -> Error {
        self.reader.malformed("the stack has too few values")
    }

    fn room(&self) -> Result<()> {
        let held = self.stack.len().max(self.marks.len()) as u64;
        Error::bound(FORMAT, "values on the stack", held + 1, self.bounds.stack as u64)
    }

    fn push(&mut self, value: Value) -> Result<()> {
        self.room()?;
        self.stack.push(value);
        Ok(())
    }

    fn fence(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Result<&Value> {
        match self.stack.get(self.fence()..).and_then(<[Value]>::last) {
            Some(top) => Ok(top),
            None => Err(self.underflow()),
        }
    }

    fn pop(&mut self) -> Result<Value> {
        if self.stack.len() <= self.fence() {
            return Err(self.underflow());
        }
        self.stack.pop().ok_or_else(|| self.underflow())
    }

    fn pop_some(&mut self, count: usize) -> Result<Vec<Value>> {
        match self.stack.len().checked_sub(count) {
            Some(start) if start >= self.fence() => Ok(self.stack.split_off(start)),
            _ => Err(self.underflow()),
        }
    }

    fn pop_mark(&mut self) -> Result<Vec<Value>> {
        match self.marks.pop() {
            Some(mark) => Ok(self.stack.split_off(mark)),
            None => Err(self.reader.malformed("there is no MARK")),
        }
    }

    /// A node for `items`, or what stands for it when there is no more room.
    fn add(&mut self, kind: Kind, items: Vec<Value>) -> Value {
        let bytes = size_of::<Node>() + size_of_val(items.as_slice());
        if self.structure.bytes + bytes > self.bounds.structure_bytes {
            return Value::Unknown;
        }
        self.structure.bytes += bytes;
        self.structure.nodes.push(Node {
            kind,
            items,
            ..Node::default()
        });
        Value::Node(self.structure.nodes.len() - 1)
    }

    fn hold(&mut self, kind: Kind, items: Vec<Value>) -> Result<()> {
        let node = self.add(kind, items);
        self.push(node)
    }

    fn gather(&mut self, kind: Kind) -> Result<()> {
        let items = self.pop_mark()?;
        self.hold(kind, items)
    }

    /// Gives items to what is on top.
    fn extend(&mut self, items: Vec<Value>) -> Result<()> {
        let Value::Node(at) = *self.top()? else {
            return Ok(());
        };
        let node = &mut self.structure.nodes[at];
        let bytes = size_of_val(items.as_slice());
        if self.structure.bytes + bytes > self.bounds.structure_bytes {
            node.cut = true;
        } else {
            self.structure.bytes += bytes;
            node.items.extend(items);
        }
        Ok(())
    }

    fn index(&self, line: &[u8]) -> Result<u64> {
        text::index(line).ok_or_else(|| self.reader.malformed("an index of the memo is no number"))
    }

    fn put(&mut self, at: u64) -> Result<()> {
        let value = self.top()?.clone();
        let memo = &mut self.memo;
        let bytes = match &value {
            Value::Text(text) => text.len() + 32,
            Value::Long(long) => long.len() + 32,
            _ => 0,
        };
        let is_new = !memo.values.contains_key(&at);
        let is_full = memo.bytes + bytes > self.bounds.memo_bytes;
        if is_new && memo.values.len() >= self.bounds.memo {
            memo.full = true;
        } else if is_full {
            memo.full = true;
            memo.values.insert(at, Value::Unknown);
        } else {
            memo.bytes += bytes;
            memo.values.insert(at, value);
        }
        Ok(())
    }

    fn get(&mut self, at: u64) -> Result<()> {
        let found = self.memo.values.get(&at);
        let outer = || self.outer.and_then(|outer| outer.values.get(&at));
        let value = match found.or_else(outer) {
            Some(value) if self.outer.is_some() => portable(value),
            Some(value) => value.clone(),
            None if self.memo.full || self.outer.is_some() => Value::Unknown,
            None => return Err(self.reader.malformed(format!("the memo has nothing at {at}"))),
        };
        self.push(value)
    }

    /// The global that the next two lines name.
    fn named(&mut self) -> Result<Value> {
        let module = self.line()?;
        let name = self.line()?;
        let (Some(module), Some(name)) = (module, name) else {
            self.trace.computed_names += 1;
            return Ok(Value::Unknown);
        };
        match (std::str::from_utf8(&module), std::str::from_utf8(&name)) {
            (Ok(module), Ok(name)) => self.global(module, name),
            _ => Err(self.reader.malformed("the name of a global is no UTF-8")),
        }
    }

    fn global(&mut self, module: &str, name: &str) -> Result<Value> {
        let reach = self.reach;
        let key = format!("{reach:?} {module}\n{name}");
        if let Some(&at) = self.trace.known.get(&key) {
            return Ok(Value::Global(at));
        }
        let at = self.trace.globals.len();
        Error::bound(
            FORMAT,
            "different globals",
            at as u64 + 1,
            self.bounds.globals as u64,
        )?;
        self.trace.globals.push(Global {
            module: module.to_owned(),
            name: name.to_owned(),
            called: false,
            arguments: String::new(),
            reach,
        });
        self.trace.known.insert(key, at);
        Ok(Value::Global(at))
    }

    fn call(&mut self, callee: Value, arguments: Value) -> Result<()> {
        match &callee {
            Value::Global(at) => {
                let global = &mut self.trace.globals[*at];
                if !global.called {
                    global.called = true;
                    global.arguments = self.structure.describe(&arguments);
                }
            }
            // What a loader gives for an id, such as the class that torch saves with its source: a global in the id.
            Value::Node(at) if self.structure.nodes[*at].kind == Kind::Persistent => {}
            _ => self.trace.computed_calls += 1,
        }
        let node = self.add(Kind::Object, Vec::new());
        if let Value::Node(at) = node {
            self.structure.bytes += size_of::<Call>();
            self.structure.nodes[at].call = Some(Box::new(Call {
                callee,
                arguments,
                state: Value::None,
            }));
        }
        self.push(node)
    }

    fn build(&mut self) -> Result<()> {
        let state = self.pop()?;
        let object = self.top()?.clone();
        match object {
            Value::Global(_) => self.trace.changed_globals += 1,
            Value::Node(at) => {
                if let Some(call) = &mut self.structure.nodes[at].call {
                    call.state = state;
                }
            }
            _ => {}
        }
        if self.reach == Reach::Hidden {
            return Ok(());
        }
        match arrays::raw(&self.structure, &self.trace.globals, &object) {
            None => Ok(()),
            Some(Err(problem)) => Err(self.reader.malformed(problem)),
            Some(Ok(raw)) => self.array(&raw),
        }
    }

    fn array(&mut self, raw: &Raw) -> Result<()> {
        self.trace.raw_arrays += 1;
        self.look_for_hidden();
        match *raw {
            Raw::Pickle => run(self.reader, self.trace, self.bounds, self.depth + 1).map(drop),
            Raw::Elements { bytes, padded } => {
                if padded {
                    let padding = self.reader.byte()?;
                    self.reader.skip(padding.into())?;
                }
                self.reader.skip(bytes)
            }
        }
    }

    /// Plain pickle does not know arrays of joblib, and takes them for opcodes. What they would be is followed for a
    /// while; that it fails is what is expected.
    fn look_for_hidden(&mut self) {
        let (whole, start) = (self.reader.bytes(), self.reader.position());
        let Some(window) = Part::of(whole, start, self.reader.left().min(HIDDEN_BYTES)) else {
            return;
        };
        let mut trace = Trace {
            globals: std::mem::take(&mut self.trace.globals),
            known: std::mem::take(&mut self.trace.known),
            ..Trace::default()
        };
        let top = self.stack.len().saturating_sub(8);
        let mut machine = Machine {
            reader: &mut Reader::new(&window, FORMAT),
            trace: &mut trace,
            bounds: self.bounds,
            depth: self.depth,
            stack: self.stack[top..].iter().map(portable).collect(),
            marks: Vec::new(),
            memo: Memo::default(),
            outer: Some(&self.memo),
            structure: Structure::default(),
            reach: Reach::Hidden,
        };
        while machine.trace.opcodes < HIDDEN_OPCODES && matches!(machine.step(), Ok(false)) {}
        self.trace.globals = trace.globals;
        self.trace.known = trace.known;
    }

    /// A line without its end; `None` when it is too long to be kept.
    fn line(&mut self) -> Result<Option<Vec<u8>>> {
        let mut line = Some(Vec::new());
        loop {
            let byte = self.reader.byte()?;
            if byte == b'\n' {
                return Ok(line);
            }
            match &mut line {
                Some(kept) if (kept.len() as u64) < self.bounds.text_bytes => kept.push(byte),
                _ => line = None,
            }
        }
    }

    fn length4(&mut self) -> Result<u64> {
        Ok(u32::from_le_bytes(self.reader.array()?).into())
    }

    fn length4_signed(&mut self) -> Result<u64> {
        let length = i32::from_le_bytes(self.reader.array()?);
        u64::try_from(length).map_err(|_| self.reader.malformed("a negative length"))
    }

    fn length8(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.reader.array()?))
    }

    fn long(&mut self, length: u64) -> Result<()> {
        let value = match length {
            0..=8 => {
                let bytes = self.reader.take(length)?;
                let sign = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
                let mut number = [if sign { 0xff } else { 0 }; 8];
                number[..bytes.len()].copy_from_slice(&bytes);
                Value::Int(i64::from_le_bytes(number))
            }
            9..=32 => Value::Long(self.reader.take(length)?.into()),
            _ => {
                self.reader.skip(length)?;
                Value::Unknown
            }
        };
        self.push(value)
    }

    fn text(&mut self, length: u64, encoding: Encoding) -> Result<()> {
        let start = self.reader.position();
        let head = self.head(length)?;
        if length > self.bounds.text_bytes {
            if encoding == Encoding::Utf8 && is_pickled_text(&head) && length <= EMBEDDED_TEXT {
                self.reader.seek(start);
                let bytes = self.reader.take(length)?;
                self.embed_text(&String::from_utf8_lossy(&bytes));
            } else {
                self.embed(&head, start, length);
                self.reader.seek(start);
                self.reader.skip(length)?;
            }
            return self.push(Value::Unknown);
        }
        self.reader.seek(start);
        let bytes = self.reader.take(length)?;
        let text: Rc<str> = match encoding {
            Encoding::Latin1 => {
                self.embed(&head, start, length);
                text::latin_1(&bytes).into()
            }
            Encoding::Utf8 => String::from_utf8_lossy(&bytes).into(),
        };
        if is_pickled_text(text.as_bytes()) && encoding == Encoding::Utf8 {
            self.embed_text(&text);
        }
        self.push(Value::Text(text))
    }

    fn bytes(&mut self, length: u64) -> Result<()> {
        let start = self.reader.position();
        let head = self.head(length)?;
        self.embed(&head, start, length);
        self.reader.seek(start);
        self.reader.skip(length)?;
        self.push(Value::Bytes(length))
    }

    /// The first bytes of a string. The whole of it must be there.
    fn head(&mut self, length: u64) -> Result<Vec<u8>> {
        let start = self.reader.position();
        self.reader.skip(length)?;
        self.reader.seek(start);
        self.reader.take(length.min(4))
    }

    fn embed(&mut self, head: &[u8], offset: u64, length: u64) {
        let is_pickle = matches!(head, [0x80, 2..=5, ..]);
        if (is_pickle || head.starts_with(b"PK\x03\x04")) && self.trace.embedded.len() < MOST_EMBEDDED {
            self.trace.embedded.push(ByteRange { offset, length });
        }
    }

    fn embed_text(&mut self, text: &str) {
        let held: usize = self.trace.embedded_texts.iter().map(Vec::len).sum();
        if held + text.len() <= EMBEDDED_TEXT as usize
            && let Some(bytes) = text::to_latin_1(text)
        {
            self.trace.embedded_texts.push(bytes);
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Latin1,
    Utf8,
}

/// Whether a text in UTF-8 begins with the characters of the opcode PROTO.
fn is_pickled_text(text: &[u8]) -> bool {
    matches!(text, [0xc2, 0x80, 2..=5, ..])
}

fn number(line: &[u8]) -> Value {
    let number = std::str::from_utf8(line).ok().and_then(|text| text.parse().ok());
    number.map_or(Value::Unknown, Value::Int)
}

/// A value without its place in a structure that is another's.
fn portable(value: &Value) -> Value {
    match value {
        Value::Node(_) => Value::Unknown,
        other => other.clone(),
    }
}
