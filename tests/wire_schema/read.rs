//! Reads `prost`'s attributes and the comments beside them out of Rust's text.
//!
//! Knows only how the files of `src/wire` are written (rustfmt sees to that), and fails on what it cannot read rather than
//! leave it out.

/// The messages and enumerations of a package.
#[derive(Default)]
pub(crate) struct Schema {
    pub(crate) sections: Vec<Section>,
    pub(crate) enums: Vec<Enum>,
    /// Message, the numbers that its oneof lists, the numbers of the variants.
    pub(crate) oneof_lists: Vec<(String, Vec<i32>, Vec<i32>)>,
    oneofs: Vec<Message>,
}

/// A file: what it is about, and its messages.
pub(crate) struct Section {
    pub(crate) about: Vec<String>,
    pub(crate) messages: Vec<Message>,
}

pub(crate) struct Message {
    pub(crate) name: String,
    pub(crate) about: Vec<String>,
    pub(crate) fields: Vec<Field>,
}

pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) about: Vec<String>,
    pub(crate) number: i32,
    /// A scalar's name, or a message's or enumeration's.
    pub(crate) kind: String,
    pub(crate) label: Label,
    /// The oneof it belongs to.
    pub(crate) oneof: Option<String>,
    /// The Rust enumeration that holds a oneof's variants, and the numbers listed; only until they are put in its place.
    holds: Option<(String, Vec<i32>)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Label {
    Single,
    /// A scalar whose presence is told.
    Optional,
    Repeated,
}

pub(crate) struct Enum {
    pub(crate) name: String,
    pub(crate) about: Vec<String>,
    pub(crate) values: Vec<Value>,
}

pub(crate) struct Value {
    pub(crate) name: String,
    pub(crate) about: Vec<String>,
    pub(crate) number: i32,
}

/// What the line belongs to.
enum Within {
    Nothing,
    Message(Message),
    Oneof(Message),
    Enum(Enum),
}

impl Schema {
    /// Adds what a file declares outside of its tests.
    pub(crate) fn read(&mut self, file: &str, text: &str) {
        let code = text.split("#[cfg(test)]").next().unwrap_or("");
        let about =
            code.lines().map_while(|line| line.strip_prefix("//!")).map(|line| line.trim().to_owned());
        let mut section = Section { about: about.collect(), messages: Vec::new() };
        let (mut comments, mut attributes, mut within) = (Vec::new(), String::new(), Within::Nothing);
        for line in code.lines().map(str::trim) {
            if let Some(comment) = line.strip_prefix("///") {
                comments.push(comment.trim().to_owned());
            } else if line.starts_with("#[") || (!attributes.is_empty() && !attributes.ends_with(']')) {
                attributes += line;
            } else if let Some(name) =
                opened(line, "struct").filter(|_| attributes.contains("prost::Message"))
            {
                within = Within::Message(Message::new(name, take(&mut comments)));
                attributes.clear();
            } else if let Some(name) = opened(line, "enum").filter(|_| attributes.contains("prost::")) {
                let about = take(&mut comments);
                within = if attributes.contains("prost::Oneof") {
                    Within::Oneof(Message::new(name, about))
                } else {
                    Within::Enum(Enum { name: name.to_owned(), about, values: Vec::new() })
                };
                attributes.clear();
            } else if line == "}" {
                match std::mem::replace(&mut within, Within::Nothing) {
                    Within::Nothing => {}
                    Within::Message(message) => section.messages.push(message),
                    Within::Oneof(oneof) => self.oneofs.push(oneof),
                    Within::Enum(found) => self.enums.push(found),
                }
                (comments, attributes) = (Vec::new(), String::new());
            } else if !line.is_empty() && !line.starts_with("//") {
                let about = take(&mut comments);
                let attribute = std::mem::take(&mut attributes);
                match &mut within {
                    Within::Nothing => {}
                    Within::Message(message) | Within::Oneof(message) => {
                        message.fields.push(field(file, line, &attribute, about));
                    }
                    Within::Enum(found) => found.values.push(value(file, line, about)),
                }
            }
        }
        let found = section.messages.len() as u64;
        assert_eq!(found, code.matches("prost::Message)").count() as u64, "{file}: messages were overlooked");
        if found > 0 {
            self.sections.push(section);
        }
    }

    /// Puts each oneof's variants into the message that has it.
    pub(crate) fn finish(mut self) -> Self {
        for message in self.sections.iter_mut().flat_map(|section| &mut section.messages) {
            let Some(at) = message.fields.iter().position(|field| field.holds.is_some()) else { continue };
            let holder = message.fields.remove(at);
            let (name, listed) = holder.holds.expect("it was looked for");
            let found = self.oneofs.iter().position(|oneof| oneof.name == name);
            let oneof = self.oneofs.remove(found.unwrap_or_else(|| panic!("no oneof {name} in src/wire")));
            let variants = oneof.fields.iter().map(|field| field.number).collect();
            self.oneof_lists.push((message.name.clone(), listed, variants));
            let within = |field| Field { oneof: Some(holder.name.clone()), ..field };
            message.fields.splice(at..at, oneof.fields.into_iter().map(within));
            assert!(message.fields.iter().all(|field| field.holds.is_none()), "one oneof a message");
        }
        assert!(self.oneofs.is_empty(), "a oneof belongs to a message");
        self
    }

    pub(crate) fn messages(&self) -> impl Iterator<Item = &Message> {
        self.sections.iter().flat_map(|section| &section.messages)
    }

    pub(crate) fn message(&self, name: &str) -> Option<&Message> {
        self.messages().find(|message| message.name == name)
    }

    pub(crate) fn is_enum(&self, name: &str) -> bool {
        self.enums.iter().any(|found| found.name == name)
    }
}

impl Message {
    fn new(name: &str, about: Vec<String>) -> Self {
        Self { name: name.to_owned(), about, fields: Vec::new() }
    }
}

fn take(comments: &mut Vec<String>) -> Vec<String> {
    std::mem::take(comments)
}

/// The name of an item that a line opens.
fn opened<'a>(line: &'a str, item: &str) -> Option<&'a str> {
    line.strip_prefix("pub ")?.strip_prefix(item)?.strip_suffix('{').map(str::trim)
}

/// `pub name: Type,` of a message, or `Name(Type),` of a oneof, with prost's attribute.
fn field(file: &str, line: &str, attribute: &str, about: Vec<String>) -> Field {
    let place = || format!("{file}: `{attribute} {line}`");
    let inside = attribute.split_once("#[prost(").and_then(|(_, rest)| rest.rsplit_once(")]"));
    let (inside, _) = inside.unwrap_or_else(|| panic!("{}: no attribute of prost's", place()));
    let parts: Vec<&str> = split(inside);
    let quoted = |name: &str| {
        let value = parts.iter().find_map(|part| part.strip_prefix(name)?.trim().strip_prefix('='));
        value.map(|value| value.trim().trim_matches('"'))
    };
    let line = line.trim_end_matches(',');
    let (name, kind) = match line.strip_prefix("pub ") {
        Some(line) => line.split_once(": ").unwrap_or_else(|| panic!("{}", place())),
        None => line.trim_end_matches(')').split_once('(').unwrap_or_else(|| panic!("{}", place())),
    };
    let name = snake(name.trim_start_matches("r#"));
    if let Some(oneof) = quoted("oneof") {
        let listed = quoted("tags").expect("a oneof lists its tags");
        let listed = listed.split(',').map(|tag| tag.trim().parse().expect("a number")).collect();
        let holds = Some((oneof.to_owned(), listed));
        return Field {
            name,
            about,
            number: 0,
            kind: String::new(),
            label: Label::Single,
            oneof: None,
            holds,
        };
    }
    let number = quoted("tag").and_then(|tag| tag.parse().ok()).unwrap_or_else(|| panic!("{}", place()));
    let kind = match (parts[0], quoted("enumeration")) {
        (_, Some(name)) => name.to_owned(),
        ("message", None) => {
            let inner = kind.trim_start_matches("Option<").trim_start_matches("Vec<").trim_end_matches('>');
            inner.rsplit("::").next().expect("a name").to_owned()
        }
        (scalar, None) => scalar.split(' ').next().expect("a word").to_owned(),
    };
    let has = |flag: &str| parts.contains(&flag);
    let label = match () {
        () if has("repeated") => Label::Repeated,
        // A message's presence is always told.
        () if has("optional") && parts[0] != "message" => Label::Optional,
        () => Label::Single,
    };
    Field { name, about, number, kind, label, oneof: None, holds: None }
}

/// Splits at commas outside of quotes.
fn split(inside: &str) -> Vec<&str> {
    let mut quoted = false;
    let at_comma = |c: char| {
        quoted ^= c == '"';
        c == ',' && !quoted
    };
    inside.split(at_comma).map(str::trim).collect()
}

/// `Name = 7,`
fn value(file: &str, line: &str, about: Vec<String>) -> Value {
    let (name, number) =
        line.trim_end_matches(',').split_once(" = ").unwrap_or_else(|| panic!("{file}: {line}"));
    Value { name: name.to_owned(), about, number: number.parse().expect("a number") }
}

/// `SomeName` as `some_name`.
pub(crate) fn snake(name: &str) -> String {
    let mut snake = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(c.to_lowercase());
    }
    snake
}
