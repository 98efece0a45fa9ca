//! Pictures of the fleet: networks, dependencies, zones, secrets, backups, names and the way of a request.
//!
//! A view turns the fleet into a [`Diagram`]: nodes, arrows and remarks, without places. A format draws any diagram:
//! Mermaid leaves the places to its reader, SVG and ASCII take them from one layered layout, HTML holds all views as SVG.
//! Everything here is a pure function of the fleet, so that pictures in git change only when the fleet does.

mod ascii;
mod diagram;
mod html;
mod layout;
mod mermaid;
mod svg;
mod view;

pub use diagram::{Diagram, Edge, Kind, Line, Meanings, Node, Part};
pub use view::{View, draw_view};

use crate::fleet::Fleet;

/// How a picture is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Text that GitHub, GitLab and Markdown editors draw
    Mermaid,
    /// Boxes of text, for terminals and comments
    Ascii,
    /// A drawing that needs nothing else, light and dark
    Svg,
    /// One page with every view
    Html,
}

/// Draws one view of a fleet; `html` draws all of them, this one first.
///
/// # Errors
/// The name that the view asks for and that the fleet does not have, with the names that there are.
pub fn draw(fleet: &Fleet, view: &View, format: Format) -> Result<String, UnknownService> {
    let resolved = fleet.resolved();
    let diagram = draw_view(&resolved, view)?;
    Ok(match format {
        Format::Mermaid => mermaid::draw(&diagram),
        Format::Ascii => ascii::draw(&diagram),
        Format::Svg => svg::draw(&diagram, "d"),
        Format::Html => html::draw(&resolved, view, diagram),
    })
}

/// A view of a service that is not there, or not switched on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownService {
    /// The name asked for.
    pub name: String,
    /// Those that there are.
    pub known: Vec<String>,
}
