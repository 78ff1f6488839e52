//! Chat templates: Jinja that reaches for more than the conversation.

use super::Severity;

/// What a template does that no chat needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reach {
    pub(super) severity: Severity,
    pub(super) what: String,
}

/// Objects of Jinja, Flask and Ansible from which attributes lead to the interpreter.
const OBJECTS: &[&str] = &[
    "cycler",
    "joiner",
    "lipsum",
    "self",
    "request",
    "config",
    "url_for",
    "get_flashed_messages",
];
/// Names that belong to Python, whatever they are taken from.
const PYTHON: &[&str] = &[
    "eval",
    "exec",
    "func_globals",
    "getattr",
    "gi_frame",
    "gi_code",
    "f_globals",
    "f_builtins",
    "im_func",
    "import_string",
    "mro",
    "os",
    "popen",
    "subprocess",
    "builtins",
    "tb_frame",
    "cr_frame",
    "setattr",
    "open",
];

/// Looks at what stands between `{{ }}` and `{% %}`; the text around is text.
pub(super) fn reaches(template: &str) -> Vec<Reach> {
    let mut found: Vec<Reach> = Vec::new();
    for code in regions(template) {
        let tokens = tokens(code);
        for (at, token) in tokens.iter().enumerate() {
            let before = at.checked_sub(1).and_then(|at| tokens.get(at));
            let after = tokens.get(at + 1);
            if let Some(reach) = judge(before, token, after, at == 0)
                && !found.contains(&reach)
                && found.len() < 20
            {
                found.push(reach);
            }
        }
    }
    found
}

fn judge(before: Option<&Token>, token: &Token, after: Option<&Token>, is_first: bool) -> Option<Reach> {
    let is = |token: Option<&Token>, symbol| matches!(token, Some(Token::Symbol(found)) if *found == symbol);
    let reach = |severity, what: String| Some(Reach { severity, what });
    match token {
        Token::Word(word) => {
            let is_attribute = is(before, '.');
            let is_taken_from = is(after, '.') || is(after, '[') || is(after, '|');
            if is_dunder(word) {
                return reach(Severity::Dangerous, format!("it reaches for {word}"));
            }
            if matches!(*word, "attr" | "map_attr") && is(before, '|') {
                return reach(
                    Severity::Dangerous,
                    "it takes attributes by a computed name (|attr)".to_owned(),
                );
            }
            if is_first && matches!(*word, "import" | "include" | "extends" | "from") {
                return reach(
                    Severity::Suspicious,
                    format!("it loads another template ({word})"),
                );
            }
            if !is_attribute && OBJECTS.contains(word) && is_taken_from {
                return reach(Severity::Dangerous, format!("it reaches through {word}"));
            }
            if PYTHON.contains(word) && (is_attribute || is(after, '.') || is(after, '(')) {
                return reach(Severity::Dangerous, format!("it reaches for {word}"));
            }
            None
        }
        Token::Text { raw, plain } => {
            let is_subscript =
                is(before, '[') || is(before, '(') || is(before, '~') || is(before, '+') || is(before, '|');
            if has_dunder(plain) && is_subscript {
                return reach(
                    Severity::Dangerous,
                    format!("it reaches for {}", shortened(plain)),
                );
            }
            // A name that is written so that it is not read.
            if raw != plain && plain.contains("__") {
                return reach(
                    Severity::Dangerous,
                    format!("it hides the name {}", shortened(plain)),
                );
            }
            let trimmed = plain.trim_matches('_');
            let is_piece = is(before, '~') || is(after, '~') || is(before, '+') || is(after, '+');
            if is_piece
                && (matches!(trimmed, "class" | "globals" | "subclasses" | "builtins" | "mro")
                    || plain == "__")
            {
                return reach(
                    Severity::Dangerous,
                    format!("it builds the name of {}", shortened(plain)),
                );
            }
            None
        }
        Token::Symbol(_) => None,
    }
}

#[derive(Debug, PartialEq)]
enum Token<'a> {
    Word(&'a str),
    /// As it is written, and as it is meant.
    Text {
        raw: &'a str,
        plain: String,
    },
    Symbol(char),
}

/// The code of a template.
fn regions(template: &str) -> impl Iterator<Item = &str> {
    let mut rest = template;
    std::iter::from_fn(move || {
        loop {
            let start = rest.find('{')?;
            rest = &rest[start + 1..];
            let (end, is_comment) = match rest.as_bytes().first()? {
                b'{' => ("}}", false),
                b'%' => ("%}", false),
                b'#' => ("#}", true),
                _ => continue,
            };
            rest = &rest[1..];
            let length = code_length(rest, end);
            let code = &rest[..length];
            rest = rest.get(length + end.len()..).unwrap_or("");
            if !is_comment {
                return Some(code);
            }
        }
    })
}

/// Up to `end`, which may stand in a text too.
fn code_length(code: &str, end: &str) -> usize {
    let mut quote = None;
    let mut is_escaped = false;
    for (at, byte) in code.bytes().enumerate() {
        match quote {
            Some(_) if is_escaped => is_escaped = false,
            Some(_) if byte == b'\\' => is_escaped = true,
            Some(open) if byte == open => quote = None,
            Some(_) => {}
            None if code.as_bytes()[at..].starts_with(end.as_bytes()) => return at,
            None if matches!(byte, b'\'' | b'"') => quote = Some(byte),
            None => {}
        }
    }
    // An open quote to the end: read up to the first end, as if it were none.
    code.find(end).unwrap_or(code.len())
}

fn tokens(code: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = code.trim_start_matches(['-', '+']);
    while let Some(first) = rest.chars().next() {
        if first.is_alphabetic() || first == '_' {
            let end = rest
                .find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(rest.len());
            tokens.push(Token::Word(&rest[..end]));
            rest = &rest[end..];
        } else if first == '\'' || first == '"' {
            let body = &rest[1..];
            let end = text_length(body, first);
            tokens.push(Token::Text {
                raw: &body[..end],
                plain: unescaped(&body[..end]),
            });
            rest = body.get(end + 1..).unwrap_or("");
        } else {
            if !first.is_whitespace() {
                tokens.push(Token::Symbol(first));
            }
            rest = &rest[first.len_utf8()..];
        }
    }
    tokens
}

fn text_length(body: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, c) in body.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            c if c == quote => return at,
            _ => {}
        }
    }
    body.len()
}

/// The escapes by which letters are hidden.
fn unescaped(raw: &str) -> String {
    let mut plain = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        plain.push_str(&rest[..at]);
        let tail = &rest[at + 1..];
        let length = match tail.as_bytes().first() {
            Some(b'x') => 2,
            Some(b'u') => 4,
            Some(b'U') => 8,
            _ => 0,
        };
        let code = (length > 0)
            .then(|| u32::from_str_radix(tail.get(1..=length)?, 16).ok())
            .flatten()
            .and_then(char::from_u32);
        let octal: String = tail.chars().take(3).take_while(|c| c.is_digit(8)).collect();
        if let Some(c) = code {
            plain.push(c);
            rest = &tail[length + 1..];
        } else if let Some(c) = u32::from_str_radix(&octal, 8).ok().and_then(char::from_u32) {
            plain.push(c);
            rest = &tail[octal.len()..];
        } else {
            plain.push('\\');
            rest = tail;
        }
    }
    plain.push_str(rest);
    plain
}

fn is_dunder(word: &str) -> bool {
    word.len() > 4 && word.starts_with("__") && word.ends_with("__")
}

fn has_dunder(text: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
        .any(is_dunder)
}

fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(40).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("{short:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_that_reach_out_are_seen() {
        for template in [
            "{{ ''.__class__.__mro__[1].__subclasses__() }}",
            "{% for c in [].__class__.__base__.__subclasses__() %}{% endfor %}",
            "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
            "{{ lipsum.__globals__['os'].popen('id').read() }}",
            "{{ self._TemplateReference__context.cycler }}",
            "{{ ''|attr('\\x5f\\x5fclass\\x5f\\x5f') }}",
            "{{ ''['\\x5f\\x5fclass\\x5f\\x5f'] }}",
            "{{ ''['\\137\\137class\\137\\137'] }}",
            "{{ ''['__cla' ~ 'ss__'] }}{{ x['__' ~ 'class' ~ '__'] }}",
            "{{ request.application }}",
            "{{ config.items() }}",
            "{%- set x = joiner.__init__ -%}",
            "{{ \"}}\" ~ x.__class__ }}",
            "{{ ' }} {{ x.__class__ }}",
        ] {
            let found = reaches(template);
            assert!(
                found.iter().any(|reach| reach.severity == Severity::Dangerous),
                "{template}: {found:?}"
            );
        }
    }

    #[test]
    fn templates_of_chats_are_left_alone() {
        for template in [
            "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content']}}{% endfor %}",
            "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ messages[0].content | trim }}{% endif %}",
            "{%- set ns = namespace(found=false) -%}{%- set ns.found = true -%}{{ raise_exception('no') }}",
            "You may `import os` and use __init__ and config.json {{ tools | tojson(indent=4) }}",
            "{{ 'def __init__(self): import os; os.system(1)' }}",
            "{%- macro self_text(x) %}{{ x | string | selectattr('role') }}{% endmacro %}",
            "{# ''.__class__ #}",
            "{{ strftime_now('%d %b %Y') }} {% generation %}{% endgeneration %}",
        ] {
            assert_eq!(reaches(template), [], "{template}");
        }
    }
}
