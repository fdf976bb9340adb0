//! Reads pickles, the serialized objects of Python, without executing anything.
//!
//! A pickle is a program for a stack machine that builds objects. This machine runs the program, but where Python would
//! import a class or call a function, it only notes its name and its arguments. Objects are kept in one list and refer
//! to each other by their place in it, so that shared, cyclic and deeply nested objects cost nothing extra. The
//! instructions are those of Python's `pickletools`, from protocol 2 on.

use std::{
    collections::HashMap,
    io::{self, Read, Take},
};

/// Maximum number of bytes of a pickle. Those of checkpoints have some hundred bytes per tensor.
const MOST_BYTES: u64 = 32 << 20;

/// Maximum number of objects in a pickle.
const MOST_OBJECTS: usize = 4 << 20;

/// The place of an object among all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id(usize);

/// An object.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Object {
    Integer(i64),
    Text(String),
    Bytes(Vec<u8>),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dictionary(Vec<(Id, Id)>),
    /// A class or a function: its module and its name, with a dot.
    Global(String),
    /// The result of a call that was not made: the class or function, and the arguments.
    Call(Id, Id),
    /// An object outside of the pickle, by the description that the program gives of it.
    External(Id),
    /// Anything else: `None`, numbers with a fraction, sets.
    Other,
}

/// All objects of a pickle.
#[derive(Debug)]
pub(crate) struct Pickle {
    objects: Vec<Object>,
    /// What objects that were made by a call were then filled with.
    states: HashMap<Id, Id>,
    /// The object that was pickled.
    pub(crate) top: Id,
}

/// Why a pickle cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PickleError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("it contains the unknown instruction {0:#04x}")]
    Instruction(u8),
    #[error("its instructions do not fit together")]
    Inconsistent,
    #[error("it has more objects than any checkpoint")]
    TooLarge,
}

impl Pickle {
    /// Reads the next pickle of a stream, and nothing behind it.
    pub(crate) fn read(input: &mut impl Read) -> Result<Pickle, PickleError> {
        let mut machine = Machine::new(input.take(MOST_BYTES));
        loop {
            if let Some(top) = machine.step()? {
                return Ok(Pickle {
                    objects: machine.objects,
                    states: machine.states,
                    top,
                });
            }
        }
    }

    pub(crate) fn object(&self, id: Id) -> &Object {
        &self.objects[id.0]
    }

    /// Returns all objects, in the order in which they were built.
    pub(crate) fn objects(&self) -> &[Object] {
        &self.objects
    }

    pub(crate) fn integer(&self, id: Id) -> Option<i64> {
        match self.object(id) {
            Object::Integer(value) => Some(*value),
            _ => None,
        }
    }

    pub(crate) fn text(&self, id: Id) -> Option<&str> {
        match self.object(id) {
            Object::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the name of a class or function.
    pub(crate) fn global(&self, id: Id) -> Option<&str> {
        match self.object(id) {
            Object::Global(name) => Some(name),
            _ => None,
        }
    }

    /// Returns the keys and values of a dictionary.
    pub(crate) fn items(&self, id: Id) -> Option<&[(Id, Id)]> {
        match self.object(id) {
            Object::Dictionary(items) => Some(items),
            _ => None,
        }
    }

    /// Returns the elements of a tuple or list.
    pub(crate) fn elements(&self, id: Id) -> Option<&[Id]> {
        match self.object(id) {
            Object::Tuple(elements) | Object::List(elements) => Some(elements),
            _ => None,
        }
    }

    /// Returns what an object that was made by a call was then filled with.
    pub(crate) fn state(&self, id: Id) -> Option<Id> {
        self.states.get(&id).copied()
    }

    /// Returns the function and the arguments of a call.
    pub(crate) fn call(&self, id: Id) -> Option<(&str, &[Id])> {
        match self.object(id) {
            Object::Call(function, arguments) => {
                Some((self.global(*function)?, self.elements(*arguments)?))
            }
            _ => None,
        }
    }
}

/// The stack machine.
struct Machine<R> {
    input: Take<R>,
    objects: Vec<Object>,
    states: HashMap<Id, Id>,
    stack: Vec<Id>,
    /// The heights of the stack at which groups of arguments begin.
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
}

impl<R: Read> Machine<R> {
    fn new(input: Take<R>) -> Machine<R> {
        Machine {
            input,
            objects: Vec::new(),
            states: HashMap::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
        }
    }

    /// Executes one instruction. Returns the pickled object at the end.
    fn step(&mut self) -> Result<Option<Id>, PickleError> {
        let [instruction] = self.bytes()?;
        match instruction {
            b'.' => return self.pop().map(Some),
            // Protocol and frames.
            0x80 => self.skip(1)?,
            0x95 => self.skip(8)?,
            // Constants.
            b'N' => self.push(Object::Other)?,
            0x88 => self.push(Object::Integer(1))?,
            0x89 => self.push(Object::Integer(0))?,
            b'K' => self.unsigned::<1>()?,
            b'M' => self.unsigned::<2>()?,
            b'J' => {
                let value = i32::from_le_bytes(self.bytes()?);
                self.push(Object::Integer(value.into()))?;
            }
            0x8a => {
                let length = self.length::<1>()?;
                self.long(length)?;
            }
            0x8b => {
                let length = self.length::<4>()?;
                self.long(length)?;
            }
            b'G' => {
                self.skip(8)?;
                self.push(Object::Other)?;
            }
            // Texts, and the byte strings of Python 2, which are texts too.
            0x8c | b'U' => self.text::<1>()?,
            b'X' | b'T' => self.text::<4>()?,
            0x8d => self.text::<8>()?,
            b'C' => self.binary::<1>()?,
            b'B' => self.binary::<4>()?,
            0x8e | 0x96 => self.binary::<8>()?,
            // Tuples, lists, dictionaries and sets.
            b'(' => self.marks.push(self.stack.len()),
            b')' => self.push(Object::Tuple(Vec::new()))?,
            b']' => self.push(Object::List(Vec::new()))?,
            b'}' => self.push(Object::Dictionary(Vec::new()))?,
            0x8f => self.push(Object::Other)?,
            0x85 => self.tuple(1)?,
            0x86 => self.tuple(2)?,
            0x87 => self.tuple(3)?,
            b't' => {
                let elements = self.pop_mark()?;
                self.push(Object::Tuple(elements))?;
            }
            b'l' => {
                let elements = self.pop_mark()?;
                self.push(Object::List(elements))?;
            }
            b'd' => {
                let items = pairs(&self.pop_mark()?)?;
                self.push(Object::Dictionary(items))?;
            }
            0x91 => {
                self.pop_mark()?;
                self.push(Object::Other)?;
            }
            b'a' => {
                let element = self.pop()?;
                self.extend(&[element])?;
            }
            b'e' | 0x90 => {
                let elements = self.pop_mark()?;
                self.extend(&elements)?;
            }
            b's' => {
                let items = self.pop_many(2)?;
                self.insert(&items)?;
            }
            b'u' => {
                let items = self.pop_mark()?;
                self.insert(&items)?;
            }
            // Classes, functions and their results.
            b'c' => {
                let name = self.line()? + "." + &self.line()?;
                self.push(Object::Global(name))?;
            }
            0x93 => self.stack_global()?,
            b'R' | 0x81 => self.call()?,
            0x92 => {
                self.pop()?;
                self.call()?;
            }
            b'b' => {
                let state = self.pop()?;
                self.states.insert(self.top()?, state);
            }
            b'Q' => {
                let description = self.pop()?;
                self.push(Object::External(description))?;
            }
            // The stack and the memo.
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_mark()?),
            b'2' => self.stack.push(self.top()?),
            b'q' => {
                let key = self.length::<1>()?;
                self.memorize(key)?;
            }
            b'r' => {
                let key = self.length::<4>()?;
                self.memorize(key)?;
            }
            0x94 => self.memorize(self.memo.len() as u64)?,
            b'h' => {
                let key = self.length::<1>()?;
                self.recall(key)?;
            }
            b'j' => {
                let key = self.length::<4>()?;
                self.recall(key)?;
            }
            unknown => return Err(PickleError::Instruction(unknown)),
        }
        Ok(None)
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], PickleError> {
        let mut bytes = [0; N];
        self.input.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads an unsigned number of `N` bytes.
    fn length<const N: usize>(&mut self) -> Result<u64, PickleError> {
        let mut bytes = [0; 8];
        bytes[..N].copy_from_slice(&self.bytes::<N>()?);
        Ok(u64::from_le_bytes(bytes))
    }

    /// Reads this many bytes. No memory is taken before they are there.
    fn string(&mut self, length: u64) -> Result<Vec<u8>, PickleError> {
        let mut string = Vec::new();
        (&mut self.input).take(length).read_to_end(&mut string)?;
        if (string.len() as u64) < length {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        Ok(string)
    }

    /// Reads the rest of a line.
    fn line(&mut self) -> Result<String, PickleError> {
        let mut line = Vec::new();
        loop {
            match self.bytes()? {
                [b'\n'] => return Ok(String::from_utf8_lossy(&line).into_owned()),
                [byte] => line.push(byte),
            }
        }
    }

    fn skip(&mut self, length: u64) -> Result<(), PickleError> {
        self.string(length).map(drop)
    }

    fn push(&mut self, object: Object) -> Result<(), PickleError> {
        if self.objects.len() == MOST_OBJECTS {
            return Err(PickleError::TooLarge);
        }
        self.stack.push(Id(self.objects.len()));
        self.objects.push(object);
        Ok(())
    }

    fn pop(&mut self) -> Result<Id, PickleError> {
        self.stack.pop().ok_or(PickleError::Inconsistent)
    }

    fn pop_many(&mut self, count: usize) -> Result<Vec<Id>, PickleError> {
        let start = self.stack.len().checked_sub(count);
        start
            .map(|start| self.stack.split_off(start))
            .ok_or(PickleError::Inconsistent)
    }

    /// Pops everything above the last mark.
    fn pop_mark(&mut self) -> Result<Vec<Id>, PickleError> {
        match self.marks.pop() {
            Some(start) if start <= self.stack.len() => Ok(self.stack.split_off(start)),
            _ => Err(PickleError::Inconsistent),
        }
    }

    fn top(&self) -> Result<Id, PickleError> {
        self.stack.last().copied().ok_or(PickleError::Inconsistent)
    }

    fn unsigned<const N: usize>(&mut self) -> Result<(), PickleError> {
        let value = self.length::<N>()?;
        self.push(Object::Integer(value as i64))
    }

    /// Pushes an integer of any length. One of more than eight bytes means nothing here.
    fn long(&mut self, length: u64) -> Result<(), PickleError> {
        let bytes = self.string(length)?;
        if bytes.len() > 8 {
            return self.push(Object::Other);
        }
        let is_negative = bytes.last().is_some_and(|last| last & 0x80 != 0);
        let mut all = [if is_negative { 0xff } else { 0 }; 8];
        all[..bytes.len()].copy_from_slice(&bytes);
        self.push(Object::Integer(i64::from_le_bytes(all)))
    }

    fn text<const N: usize>(&mut self) -> Result<(), PickleError> {
        let length = self.length::<N>()?;
        let text = self.string(length)?;
        self.push(Object::Text(String::from_utf8_lossy(&text).into_owned()))
    }

    fn binary<const N: usize>(&mut self) -> Result<(), PickleError> {
        let length = self.length::<N>()?;
        let bytes = self.string(length)?;
        self.push(Object::Bytes(bytes))
    }

    fn tuple(&mut self, count: usize) -> Result<(), PickleError> {
        let elements = self.pop_many(count)?;
        self.push(Object::Tuple(elements))
    }

    /// Appends to the list on top. Other objects that are extended, such as sets, mean nothing here.
    fn extend(&mut self, elements: &[Id]) -> Result<(), PickleError> {
        let Id(top) = self.top()?;
        if let Object::List(list) = &mut self.objects[top] {
            list.extend(elements);
        }
        Ok(())
    }

    /// Inserts keys and values into the dictionary on top. Other objects with items mean nothing here.
    fn insert(&mut self, items: &[Id]) -> Result<(), PickleError> {
        let items = pairs(items)?;
        let Id(top) = self.top()?;
        if let Object::Dictionary(dictionary) = &mut self.objects[top] {
            dictionary.extend(items);
        }
        Ok(())
    }

    fn stack_global(&mut self) -> Result<(), PickleError> {
        let names = self.pop_many(2)?;
        let mut texts = names.iter().map(|name| match &self.objects[name.0] {
            Object::Text(text) => Ok(text.as_str()),
            _ => Err(PickleError::Inconsistent),
        });
        let (Some(module), Some(name)) = (texts.next(), texts.next()) else {
            return Err(PickleError::Inconsistent);
        };
        let name = format!("{}.{}", module?, name?);
        self.push(Object::Global(name))
    }

    /// Notes a call. Python's ordered dictionaries are dictionaries.
    fn call(&mut self) -> Result<(), PickleError> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        if !self.makes_a_dictionary(function) {
            return self.push(Object::Call(function, arguments));
        }
        let items = self.items(arguments).unwrap_or_default();
        self.push(Object::Dictionary(items))
    }

    fn makes_a_dictionary(&self, function: Id) -> bool {
        let dictionaries = ["collections.OrderedDict", "collections.defaultdict"];
        matches!(&self.objects[function.0], Object::Global(name) if dictionaries.contains(&name.as_str()))
    }

    /// Returns the items of a dictionary that is made from a list of pairs, as in Python 2.
    fn items(&self, arguments: Id) -> Option<Vec<(Id, Id)>> {
        let elements = |id: Id| match &self.objects[id.0] {
            Object::Tuple(elements) | Object::List(elements) => Some(elements),
            _ => None,
        };
        let items = elements(*elements(arguments)?.first()?)?;
        items.iter().map(|item| pair(elements(*item)?)).collect()
    }

    fn memorize(&mut self, key: u64) -> Result<(), PickleError> {
        let top = self.top()?;
        self.memo.insert(key, top);
        Ok(())
    }

    fn recall(&mut self, key: u64) -> Result<(), PickleError> {
        let id = self.memo.get(&key).ok_or(PickleError::Inconsistent)?;
        self.stack.push(*id);
        Ok(())
    }
}

fn pair(elements: &[Id]) -> Option<(Id, Id)> {
    match elements {
        [key, value] => Some((*key, *value)),
        _ => None,
    }
}

/// Splits keys and values that alternate.
fn pairs(items: &[Id]) -> Result<Vec<(Id, Id)>, PickleError> {
    let pairs = items.chunks(2).map(pair).collect::<Option<_>>();
    pairs.ok_or(PickleError::Inconsistent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(program: &[u8]) -> Result<Pickle, PickleError> {
        Pickle::read(&mut &program[..])
    }

    #[test]
    fn dictionaries_of_every_protocol_are_read() {
        // {"a": 1, "b": (2, -1)}, protocols 2 and 4.
        let two = b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01K\x01X\x01\x00\x00\x00bq\x02K\x02J\xff\xff\xff\xff\x86q\x03u.";
        let four = b"\x80\x04\x95\x16\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x01a\x94K\x01\x8c\x01b\x94K\x02J\xff\xff\xff\xff\x86\x94u.";
        for program in [&two[..], four] {
            let pickle = read(program).unwrap();
            let Object::Dictionary(items) = pickle.object(pickle.top) else {
                panic!("{pickle:?}");
            };
            let [(a, one), (b, tuple)] = items[..] else {
                panic!("{items:?}");
            };
            assert_eq!((pickle.text(a), pickle.text(b)), (Some("a"), Some("b")));
            assert_eq!(pickle.integer(one), Some(1));
            let numbers = pickle.elements(tuple).unwrap();
            assert_eq!(
                numbers
                    .iter()
                    .map(|id| pickle.integer(*id))
                    .collect::<Vec<_>>(),
                [Some(2), Some(-1)]
            );
        }
    }

    #[test]
    fn calls_are_noted_and_not_made() {
        // os.system("true")
        let pickle = read(b"\x80\x02cos\nsystem\nU\x04true\x85R.").unwrap();
        let (function, arguments) = pickle.call(pickle.top).unwrap();
        assert_eq!(
            (function, pickle.text(arguments[0])),
            ("os.system", Some("true"))
        );
    }

    #[test]
    fn a_dictionary_may_be_made_from_pairs() {
        // collections.OrderedDict([["a", 1]])
        let pickle = read(b"\x80\x02ccollections\nOrderedDict\n]]U\x01aaK\x01aa\x85R.").unwrap();
        assert!(matches!(pickle.object(pickle.top), Object::Dictionary(items) if items.len() == 1));
    }

    #[test]
    fn an_object_may_contain_itself_and_be_nested_as_deeply_as_the_file_is_long() {
        assert!(read(b"\x80\x02]q\x00h\x00a.").is_ok());
        let deep = [&b"\x80\x02)"[..], &[0x85; 1 << 20], b"."].concat();
        assert!(read(&deep).is_ok());
    }

    #[test]
    fn programs_that_make_no_sense_are_refused() {
        for nonsense in [
            &b""[..],
            b".",
            b"\x80\x02",
            b"t.",
            b"(}s.",
            b"}(K\x01u.",
            b"h\x05.",
            b"R.",
            b"(0t.",
            b"K\x01K\x02\x93.",
        ] {
            assert!(read(nonsense).is_err(), "{nonsense:?}");
        }
        assert!(matches!(
            read(b"\xff."),
            Err(PickleError::Instruction(0xff))
        ));
        // A text of 2^63 bytes.
        assert!(matches!(
            read(b"\x8d\xff\xff\xff\xff\xff\xff\xff\x7fabc."),
            Err(PickleError::Io(_))
        ));
        let many = [&vec![b')'; MOST_OBJECTS + 1][..], b"."].concat();
        assert!(matches!(read(&many), Err(PickleError::TooLarge)));
    }
}
