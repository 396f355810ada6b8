//! What templates can expect to find under a column's name.

/// The structure of a column's values, as far as the file tells before a row is read.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// Text, a number, a date: nothing inside.
    Scalar,
    /// A list of values of one shape.
    List(Box<Shape>),
    /// Named values.
    Struct(Vec<(String, Shape)>),
    /// JSON, or a map with keys of its own: known only when a row is there.
    Unknown,
}
