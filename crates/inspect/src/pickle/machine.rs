mod globals;
mod strings;

use std::collections::HashMap;

use super::{
    Bounds, FORMAT, Global, Reach, Structure, Trace, text,
    value::{Call, Kind, Node, Value},
};
use crate::{Error, Reader, Result};
use globals::portable;
use strings::Encoding;

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
}

fn number(line: &[u8]) -> Value {
    let number = std::str::from_utf8(line).ok().and_then(|text| text.parse().ok());
    number.map_or(Value::Unknown, Value::Int)
}
