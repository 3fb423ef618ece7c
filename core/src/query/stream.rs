//! A page that goes from the row straight into the bytes: a root list without relations.

use super::leaf::{write_int, write_text};
use super::plan::{ConnectionShape, ConnectionWhat, Node, Shape, Source, Tree};
use super::write::{Path, Writer, long_token, token_of};
use crate::value::Row;

/// A page that goes from the row into the bytes.
#[derive(Debug)]
pub(super) struct Stream {
    /// For each `items` of the connection, what is inside its brackets.
    items: Vec<Vec<u8>>,
    count: usize,
    token: Option<String>,
    more: bool,
    /// Gathered so far.
    bytes: usize,
}

impl Stream {
    /// A root list without relations streams.
    pub(super) fn of(tree: &Tree) -> Option<Self> {
        let [
            Node {
                source: Source::List(_),
                shape: Shape::Many(shape),
                ..
            },
        ] = tree.nodes.as_slice()
        else {
            return None;
        };
        let items = shape
            .slots
            .iter()
            .filter(|s| matches!(s.what, ConnectionWhat::Items(_)));
        Some(Self {
            items: items.map(|_| Vec::with_capacity(1 << 12)).collect(),
            count: 0,
            token: None,
            more: false,
            bytes: 0,
        })
    }

    /// About how many bytes are gathered.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes one row; false: it needs no more.
    pub(super) fn take(
        &mut self,
        writer: &mut Writer<'_>,
        node: &Node,
        row: &dyn Row,
        started_at: Option<i64>,
        root_key: &str,
    ) -> bool {
        let (Source::List(list), Shape::Many(shape)) = (&node.source, &node.shape) else {
            return false;
        };
        let root = Path::Key(&Path::Top, root_key);
        let page_max = writer.parsed.limits.page_bytes_max;
        if self.count == list.limit || (list.probe && self.bytes > page_max) {
            self.more = true;
            if list.probe && self.token.is_none() {
                for slot in shape
                    .slots
                    .iter()
                    .filter(|s| matches!(s.what, ConnectionWhat::NextToken))
                {
                    writer.push(long_token().at(Path::Key(&root, &slot.key).segments()));
                }
            }
            return false;
        }
        let mut bytes = 0;
        let mut buffers = self.items.iter_mut();
        for slot in &shape.slots {
            if let ConnectionWhat::Items(shape) = &slot.what
                && let Some(out) = buffers.next()
            {
                if self.count > 0 {
                    out.push(b',');
                }
                let list_path = Path::Key(&root, &slot.key);
                writer.item(out, shape, row, None, &Path::Index(&list_path, self.count));
                bytes += out.len();
            }
        }
        self.count += 1;
        self.bytes = bytes;
        if list.probe && (self.count == list.limit || bytes > page_max) {
            self.token = token_of(&writer.parsed.schema, node, list, row, None, started_at);
        }
        true
    }

    pub(super) fn write(self, out: &mut Vec<u8>, shape: &ConnectionShape, started_at: Option<i64>) {
        let mut items = self.items.into_iter();
        if shape.slots.is_empty() {
            out.push(b'{');
        }
        for slot in &shape.slots {
            out.extend_from_slice(&slot.lead);
            match &slot.what {
                ConnectionWhat::Const(bytes) => out.extend_from_slice(bytes),
                ConnectionWhat::Items(_) => {
                    out.push(b'[');
                    let mut items = items.next().unwrap_or_default();
                    if items.len() > out.len() {
                        // Move the little there is in front of the much, not the other way round.
                        items.splice(0..0, out.iter().copied());
                        *out = items;
                    } else {
                        out.extend_from_slice(&items);
                    }
                    out.push(b']');
                }
                ConnectionWhat::NextToken => match &self.token {
                    Some(token) if self.more => write_text(token, out),
                    _ => out.extend_from_slice(b"null"),
                },
                ConnectionWhat::StartedAt => match started_at {
                    Some(at) => write_int(at, out),
                    None => out.extend_from_slice(b"null"),
                },
            }
        }
        out.push(b'}');
    }
}
