//! What a type looks like: its text and a value of it, for error messages that can be acted on.

use candid::types::{Field, Label, Type, TypeEnv, TypeInner};

use super::foreign;

/// Longest text of a type or an example, in characters.
const MAX_TEXT: usize = 400;
/// Levels of a type that an example fills in.
const MAX_DEPTH: usize = 4;

/// The type's text; a name stands as its definition.
pub(super) fn type_text(env: &TypeEnv, ty: &Type) -> String {
    let mut text = String::new();
    match env.trace_type(ty) {
        Ok(traced) => write_type(&mut text, &traced, 0),
        Err(_) => write_type(&mut text, ty, 0),
    }
    finish(text)
}

/// The text of an argument list's types.
pub(super) fn types_text(env: &TypeEnv, types: &[Type]) -> String {
    format!("({})", join(types, |ty| type_text(env, ty)))
}

/// A value of the type, as an agent would write it.
pub(super) fn example(env: &TypeEnv, ty: &Type) -> String {
    let mut text = String::new();
    write_example(&mut text, env, ty, 0);
    finish(text)
}

/// An argument list of the types.
pub(super) fn examples(env: &TypeEnv, types: &[Type]) -> String {
    format!("({})", join(types, |ty| example(env, ty)))
}

fn join(types: &[Type], text: impl Fn(&Type) -> String) -> String {
    // More arguments than anybody would read are not worth their text.
    types
        .iter()
        .take(16)
        .map(text)
        .collect::<Vec<_>>()
        .join(", ")
}

/// Names in it are a stranger's.
fn finish(text: String) -> String {
    foreign::one_line(&text, MAX_TEXT)
}

fn write_type(out: &mut String, ty: &Type, depth: usize) {
    if out.len() > MAX_TEXT || depth > MAX_DEPTH * 2 {
        return out.push('…');
    }
    match ty.as_ref() {
        TypeInner::Var(name) => out.push_str(name),
        TypeInner::Opt(inner) => {
            out.push_str("opt ");
            write_type(out, inner, depth + 1);
        }
        TypeInner::Vec(inner) if matches!(inner.as_ref(), TypeInner::Nat8) => out.push_str("blob"),
        TypeInner::Vec(inner) => {
            out.push_str("vec ");
            write_type(out, inner, depth + 1);
        }
        TypeInner::Record(fields) => write_fields(out, "record", fields, depth),
        TypeInner::Variant(fields) => write_fields(out, "variant", fields, depth),
        TypeInner::Func(_) => out.push_str("func"),
        TypeInner::Service(_) | TypeInner::Class(..) => out.push_str("service"),
        // The rest are single words.
        leaf => out.push_str(&format!("{leaf:?}").to_lowercase()),
    }
}

fn write_fields(out: &mut String, keyword: &str, fields: &[Field], depth: usize) {
    out.push_str(keyword);
    out.push_str(" { ");
    for (position, field) in fields.iter().enumerate() {
        if out.len() > MAX_TEXT {
            out.push('…');
            break;
        }
        if position > 0 {
            out.push_str("; ");
        }
        let bare = keyword == "variant" && matches!(field.ty.as_ref(), TypeInner::Null);
        let unnamed = matches!(field.id.as_ref(), Label::Unnamed(_));
        if !unnamed {
            out.push_str(&field.id.to_string());
        }
        if !bare {
            if !unnamed {
                out.push_str(" : ");
            }
            write_type(out, &field.ty, depth + 1);
        }
    }
    out.push_str(" }");
}

fn write_example(out: &mut String, env: &TypeEnv, ty: &Type, depth: usize) {
    if out.len() > MAX_TEXT {
        return;
    }
    let Ok(ty) = env.trace_type(ty) else {
        return out.push('…');
    };
    let deep = depth >= MAX_DEPTH;
    match ty.as_ref() {
        TypeInner::Null | TypeInner::Reserved => out.push_str("null"),
        TypeInner::Bool => out.push_str("true"),
        TypeInner::Nat8 | TypeInner::Int8 => out.push('7'),
        TypeInner::Float32 | TypeInner::Float64 => out.push_str("1.5"),
        TypeInner::Text => out.push_str("\"text\""),
        TypeInner::Principal => out.push_str("principal \"aaaaa-aa\""),
        TypeInner::Func(_) => out.push_str("func \"aaaaa-aa\".method"),
        TypeInner::Service(_) | TypeInner::Class(..) => out.push_str("service \"aaaaa-aa\""),
        TypeInner::Opt(_) if deep => out.push_str("null"),
        TypeInner::Opt(inner) => {
            out.push_str("opt ");
            write_example(out, env, inner, depth + 1);
        }
        TypeInner::Vec(_) if ty.is_blob(env) => out.push_str("blob \"\\00\\ff\""),
        TypeInner::Vec(_) if deep => out.push_str("vec {}"),
        TypeInner::Vec(inner) => {
            out.push_str("vec { ");
            write_example(out, env, inner, depth + 1);
            out.push_str(" }");
        }
        TypeInner::Record(_) | TypeInner::Variant(_) if deep => out.push('…'),
        TypeInner::Record(fields) => {
            out.push_str("record { ");
            for (position, field) in fields.iter().enumerate() {
                if out.len() > MAX_TEXT {
                    break;
                }
                if position > 0 {
                    out.push_str("; ");
                }
                if !matches!(field.id.as_ref(), Label::Unnamed(_)) {
                    out.push_str(&format!("{} = ", field.id));
                }
                write_example(out, env, &field.ty, depth + 1);
            }
            out.push_str(" }");
        }
        TypeInner::Variant(fields) => {
            let is_bare = |field: &&Field| matches!(field.ty.as_ref(), TypeInner::Null);
            match (fields.iter().find(is_bare), fields.first()) {
                (Some(bare), _) => out.push_str(&format!("variant {{ {} }}", bare.id)),
                (None, Some(first)) => {
                    out.push_str(&format!("variant {{ {} = ", first.id));
                    write_example(out, env, &first.ty, depth + 1);
                    out.push_str(" }");
                }
                (None, None) => out.push('…'),
            }
        }
        TypeInner::Empty
        | TypeInner::Unknown
        | TypeInner::Future
        | TypeInner::Knot(_)
        | TypeInner::Var(_) => {
            out.push('…');
        }
        TypeInner::Nat
        | TypeInner::Int
        | TypeInner::Nat16
        | TypeInner::Nat32
        | TypeInner::Nat64
        | TypeInner::Int16
        | TypeInner::Int32
        | TypeInner::Int64 => out.push_str("42"),
    }
}
