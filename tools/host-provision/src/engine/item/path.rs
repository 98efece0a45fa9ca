//! Files, directories, symbolic links, and links to tools.

use contract::Exit;
use contract::document::{Directory, File, Symlink, ToolLink};

use super::{Kind, View, content};
use crate::engine::entry::{Access, Entry, Node};
use crate::engine::programs::{is_from_memory, nowhere_to_start, programs};
use crate::fault::{Fault, Outcome};

pub(super) struct FileKind<'a>(pub(super) &'a File);

impl Kind for FileKind<'_> {
    fn label(&self) -> &'static str {
        "file"
    }

    fn name(&self) -> String {
        self.0.path.clone()
    }

    fn entries(&self, view: View<'_>) -> Outcome<Vec<Entry>> {
        let file = self.0;
        let access = Access { mode: file.mode.bits(), owner: file.owner.clone(), group: file.group.clone() };
        let node = Node::File {
            content: content(file, view.blobs)?,
            access,
            validate: file.validate.clone(),
            keep_existing: file.keep_existing,
        };
        Ok(vec![Entry { path: file.path.clone(), node }])
    }
}

pub(super) struct DirectoryKind<'a>(pub(super) &'a Directory);

impl Kind for DirectoryKind<'_> {
    fn label(&self) -> &'static str {
        "directory"
    }

    fn name(&self) -> String {
        self.0.path.clone()
    }

    fn entries(&self, _view: View<'_>) -> Outcome<Vec<Entry>> {
        let directory = self.0;
        let access =
            Access { mode: directory.mode.bits(), owner: directory.owner.clone(), group: directory.group.clone() };
        let path = directory.path.trim_end_matches('/').to_owned();
        Ok(vec![Entry { path, node: Node::Directory { access, data: directory.data } }])
    }
}

pub(super) struct SymlinkKind<'a>(pub(super) &'a Symlink);

impl Kind for SymlinkKind<'_> {
    fn label(&self) -> &'static str {
        "symlink"
    }

    fn name(&self) -> String {
        self.0.path.clone()
    }

    fn entries(&self, _view: View<'_>) -> Outcome<Vec<Entry>> {
        Ok(vec![Entry { path: self.0.path.clone(), node: Node::Symlink(self.0.target.clone()) }])
    }
}

pub(super) struct ToolKind<'a>(pub(super) &'a ToolLink);

impl Kind for ToolKind<'_> {
    fn label(&self) -> &'static str {
        "tool"
    }

    fn name(&self) -> String {
        self.0.name.clone()
    }

    fn entries(&self, view: View<'_>) -> Outcome<Vec<Entry>> {
        let tool = self.0;
        let sha256 = view.work.tools.get(&tool.name).ok_or_else(|| {
            Fault::new(Exit::Unavailable, "tool_not_sent", format!("the tool {} was not sent along", tool.name))
        })?;
        if is_from_memory() {
            return Err(nowhere_to_start(&format!("the tool {}", tool.name)));
        }
        let target = format!("{}/{sha256}/{}", programs(), tool.name);
        Ok(vec![Entry { path: tool.path.clone(), node: Node::Symlink(target) }])
    }
}
