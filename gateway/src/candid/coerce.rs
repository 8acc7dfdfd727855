//! Giving parsed values the types a method wants.

use std::fmt::Write;

use candid::types::{
    Field, Label, Type, TypeEnv, TypeInner,
    value::{IDLField, IDLValue, VariantValue},
};

use super::{example, foreign, render};
use crate::nearest::distance;

/// Work that fitting one argument list to its types may cost. A text within every limit can still ask for more: a
/// few kilobytes of `record {}` for a type with many optional fields stand for gigabytes of `null`.
const MAX_WORK: usize = 2_000_000;
/// What a field that was left out costs of it, by the memory that its value takes; a case of a variant that is
/// passed over costs one.
const FILLED: usize = 16;

/// What is left of [`MAX_WORK`].
pub(super) struct Work(usize);

impl Work {
    pub(super) fn new() -> Self {
        Self(MAX_WORK)
    }

    fn spend(&mut self, cost: usize) -> Result<(), Mismatch> {
        self.0 = self.0.checked_sub(cost).ok_or_else(|| {
            Mismatch::new(
                "it leaves out too many optional fields, or has too many values of a large variant, to be encoded; \
                 send fewer at a time"
                    .to_owned(),
            )
        })?;
        Ok(())
    }
}

/// Where in an argument a value is of the wrong type, and what is wrong.
pub(super) struct Mismatch {
    /// From the inside out.
    path: Vec<String>,
    problem: String,
}

impl Mismatch {
    pub(super) fn new(problem: String) -> Self {
        Self {
            path: Vec::new(),
            problem,
        }
    }

    fn inside(mut self, step: String) -> Self {
        self.path.push(step);
        self
    }

    /// Reads on after "Argument 1".
    pub(super) fn sentence(&self) -> String {
        let mut text = String::new();
        if !self.path.is_empty() {
            text.push_str(" at ");
            for step in self.path.iter().rev() {
                text.push_str(step);
            }
        }
        // Writing to a String cannot fail.
        let _ = write!(text, ": {}", self.problem);
        text
    }
}

/// What stands for a value that was left out; only types that can be absent have one.
pub(super) fn default_of(env: &TypeEnv, ty: &Type) -> Option<IDLValue> {
    match env.trace_type(ty).ok()?.as_ref() {
        TypeInner::Null => Some(IDLValue::Null),
        TypeInner::Reserved => Some(IDLValue::Reserved),
        TypeInner::Opt(_) => Some(IDLValue::None),
        _ => None,
    }
}

/// Gives a parsed value the type it is wanted in. Depth is that of the value, which is limited.
pub(super) fn coerce(
    env: &TypeEnv,
    ty: &Type,
    value: IDLValue,
    work: &mut Work,
) -> Result<IDLValue, Mismatch> {
    let traced = env
        .trace_type(ty)
        .map_err(|_| Mismatch::new("its type is not defined by the interface".to_owned()))?;
    match (traced.as_ref(), value) {
        (TypeInner::Reserved, _) => Ok(IDLValue::Reserved),
        (TypeInner::Opt(_), IDLValue::Null | IDLValue::None | IDLValue::Reserved) => {
            Ok(IDLValue::None)
        }
        (TypeInner::Opt(inner), IDLValue::Opt(value)) => {
            Ok(IDLValue::Opt(Box::new(coerce(env, inner, *value, work)?)))
        }
        // A bare value stands for `opt value`, as nothing else could be meant.
        (TypeInner::Opt(inner), value) if default_of(env, inner).is_none() => {
            Ok(IDLValue::Opt(Box::new(coerce(env, inner, value, work)?)))
        }
        (_, IDLValue::Number(digits)) => number(env, ty, &traced, &digits),
        (TypeInner::Float32, IDLValue::Float64(n)) => {
            #[allow(
                clippy::cast_possible_truncation,
                reason = "rounding is what a float32 asks for"
            )]
            let narrow = n as f32;
            Ok(IDLValue::Float32(narrow))
        }
        (TypeInner::Int, IDLValue::Nat(n)) => Ok(IDLValue::Int(n.into())),
        (TypeInner::Vec(_), IDLValue::Blob(bytes)) if traced.is_blob(env) => {
            Ok(IDLValue::Blob(bytes))
        }
        (TypeInner::Vec(inner), IDLValue::Vec(items)) => {
            vector(env, inner, items, traced.is_blob(env), work)
        }
        (TypeInner::Record(fields), IDLValue::Record(values)) => record(env, fields, values, work),
        (TypeInner::Variant(fields), IDLValue::Variant(value)) => variant(env, fields, value, work),
        (_, value) if fits(&traced, &value) => Ok(value),
        (_, value) => Err(wrong_type(env, ty, &value)),
    }
}

/// Whether a value that needs no conversion is of the type.
fn fits(ty: &Type, value: &IDLValue) -> bool {
    matches!(
        (ty.as_ref(), value),
        (TypeInner::Null, IDLValue::Null)
            | (TypeInner::Bool, IDLValue::Bool(_))
            | (TypeInner::Nat, IDLValue::Nat(_))
            | (TypeInner::Int, IDLValue::Int(_))
            | (TypeInner::Nat8, IDLValue::Nat8(_))
            | (TypeInner::Nat16, IDLValue::Nat16(_))
            | (TypeInner::Nat32, IDLValue::Nat32(_))
            | (TypeInner::Nat64, IDLValue::Nat64(_))
            | (TypeInner::Int8, IDLValue::Int8(_))
            | (TypeInner::Int16, IDLValue::Int16(_))
            | (TypeInner::Int32, IDLValue::Int32(_))
            | (TypeInner::Int64, IDLValue::Int64(_))
            | (TypeInner::Float32, IDLValue::Float32(_))
            | (TypeInner::Float64, IDLValue::Float64(_))
            | (TypeInner::Text, IDLValue::Text(_))
            | (TypeInner::Principal, IDLValue::Principal(_))
            | (TypeInner::Service(_), IDLValue::Service(_))
            | (TypeInner::Func(_), IDLValue::Func(..))
    )
}

fn number(env: &TypeEnv, ty: &Type, traced: &Type, digits: &str) -> Result<IDLValue, Mismatch> {
    let value = match traced.as_ref() {
        TypeInner::Int => digits.parse().ok().map(IDLValue::Int),
        TypeInner::Nat => digits.parse().ok().map(IDLValue::Nat),
        TypeInner::Nat8 => digits.parse().ok().map(IDLValue::Nat8),
        TypeInner::Nat16 => digits.parse().ok().map(IDLValue::Nat16),
        TypeInner::Nat32 => digits.parse().ok().map(IDLValue::Nat32),
        TypeInner::Nat64 => digits.parse().ok().map(IDLValue::Nat64),
        TypeInner::Int8 => digits.parse().ok().map(IDLValue::Int8),
        TypeInner::Int16 => digits.parse().ok().map(IDLValue::Int16),
        TypeInner::Int32 => digits.parse().ok().map(IDLValue::Int32),
        TypeInner::Int64 => digits.parse().ok().map(IDLValue::Int64),
        TypeInner::Float32 => digits.parse().ok().map(IDLValue::Float32),
        TypeInner::Float64 => digits.parse().ok().map(IDLValue::Float64),
        _ => return Err(wrong_type(env, ty, &IDLValue::Number(digits.to_owned()))),
    };
    value.ok_or_else(|| {
        Mismatch::new(format!(
            "{} does not fit {}",
            foreign::shorten(digits, 60),
            example::type_text(env, ty)
        ))
    })
}

fn vector(
    env: &TypeEnv,
    inner: &Type,
    items: Vec<IDLValue>,
    blob: bool,
    work: &mut Work,
) -> Result<IDLValue, Mismatch> {
    let mut coerced = Vec::with_capacity(items.len());
    for (position, item) in items.into_iter().enumerate() {
        let item = coerce(env, inner, item, work)
            .map_err(|mismatch| mismatch.inside(format!("[{position}]")))?;
        coerced.push(item);
    }
    if !blob {
        return Ok(IDLValue::Vec(coerced));
    }
    let bytes = coerced.into_iter().filter_map(|item| match item {
        IDLValue::Nat8(byte) => Some(byte),
        _ => None,
    });
    Ok(IDLValue::Blob(bytes.collect()))
}

fn record(
    env: &TypeEnv,
    fields: &[Field],
    values: Vec<IDLField>,
    work: &mut Work,
) -> Result<IDLValue, Mismatch> {
    // Both sides are sorted by the label's number.
    let mut values = values.into_iter().peekable();
    let mut coerced = Vec::with_capacity(values.len());
    for field in fields {
        let id = field.id.get_id();
        if let Some(extra) = values.next_if(|value| value.id.get_id() < id) {
            return Err(unknown_label("field", &extra.id, fields));
        }
        let value = match values.next_if(|value| value.id.get_id() == id) {
            Some(value) => coerce(env, &field.ty, value.val, work)
                .map_err(|mismatch| mismatch.inside(format!(".{}", shown(&field.id))))?,
            None => {
                work.spend(FILLED)?;
                default_of(env, &field.ty).ok_or_else(|| {
                    let ty = example::type_text(env, &field.ty);
                    Mismatch::new(format!(
                        "the field `{}` : {ty} is missing",
                        shown(&field.id)
                    ))
                })?
            }
        };
        coerced.push(IDLField {
            id: field.id.as_ref().clone(),
            val: value,
        });
    }
    match values.next() {
        Some(extra) => Err(unknown_label("field", &extra.id, fields)),
        None => Ok(IDLValue::Record(coerced)),
    }
}

fn variant(
    env: &TypeEnv,
    fields: &[Field],
    value: VariantValue,
    work: &mut Work,
) -> Result<IDLValue, Mismatch> {
    let given = *value.0;
    let wanted = given.id.get_id();
    let Some((field, position)) = fields
        .iter()
        .zip(0..)
        .find(|(field, _)| field.id.get_id() == wanted)
    else {
        return Err(unknown_label("case", &given.id, fields));
    };
    work.spend(usize::try_from(position).unwrap_or(MAX_WORK))?;
    let val = coerce(env, &field.ty, given.val, work)
        .map_err(|mismatch| mismatch.inside(format!(".{}", shown(&field.id))))?;
    let id = field.id.as_ref().clone();
    Ok(IDLValue::Variant(VariantValue(
        Box::new(IDLField { id, val }),
        position,
    )))
}

/// A label as a message names it: strangers choose labels, and a quoted one may be any text.
fn shown(label: &Label) -> String {
    foreign::one_line(&label.to_string(), 60)
}

fn unknown_label(kind: &str, given: &Label, fields: &[Field]) -> Mismatch {
    const SHOWN: usize = 20;
    let given = shown(given);
    let names: Vec<String> = fields
        .iter()
        .take(SHOWN)
        .map(|field| shown(&field.id))
        .collect();
    let nearest = names
        .iter()
        .map(|name| (distance(&given, name), name))
        .min()
        .filter(|(distance, _)| *distance <= 3);
    let mut problem = format!("there is no {kind} `{given}`");
    if let Some((_, name)) = nearest {
        problem.push_str(&format!("; did you mean `{name}`?"));
    }
    problem.push_str(&format!(" (there is: {})", names.join(", ")));
    Mismatch::new(problem)
}

fn wrong_type(env: &TypeEnv, ty: &Type, value: &IDLValue) -> Mismatch {
    Mismatch::new(format!(
        "expected {}, like {}, and got {}",
        example::type_text(env, ty),
        example::example(env, ty),
        render::brief(value, 80)
    ))
}
