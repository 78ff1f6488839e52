//! Globals, what is called, and the arrays of joblib.

use super::{Call, FORMAT, Global, Kind, Machine, Memo, Reach, Structure, Trace, Value, run};
use crate::{
    Error, Part, Reader, Result,
    pickle::arrays::{self, Raw},
};

/// Opcodes that are tried of what joblib would take for an array.
const HIDDEN_OPCODES: u64 = 4096;
/// How far the opcodes are looked for.
const HIDDEN_BYTES: u64 = 64 << 10;

impl Machine<'_, '_> {
    /// The global that the next two lines name.
    pub(super) fn named(&mut self) -> Result<Value> {
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

    pub(super) fn global(&mut self, module: &str, name: &str) -> Result<Value> {
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

    pub(super) fn call(&mut self, callee: Value, arguments: Value) -> Result<()> {
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

    pub(super) fn build(&mut self) -> Result<()> {
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
}

/// A value without its place in a structure that is another's.
pub(super) fn portable(value: &Value) -> Value {
    match value {
        Value::Node(_) => Value::Unknown,
        other => other.clone(),
    }
}
