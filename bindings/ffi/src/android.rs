//! TLS on Android. What a device trusts is asked of Android itself, through the JVM, and for that the verifier has to be given
//! the app's context once, before the first connection: `dev.tombolo.android.Tls` does so.

use jni::objects::{JClass, JObject};

/// `Tls.init(context)`, a static native method.
///
/// Twice is no error: the first context stays. What fails is thrown as a `RuntimeException`; a panic becomes one, too.
#[unsafe(no_mangle)]
#[allow(unreachable_pub)] // The JVM reaches it by its name.
pub extern "system" fn Java_dev_tombolo_android_Tls_init<'frame>(
    mut env: jni::EnvUnowned<'frame>,
    _class: JClass<'frame>,
    context: JObject<'frame>,
) {
    env.with_env(|env| rustls_platform_verifier::android::init_with_env(env, context))
        .resolve::<jni::errors::ThrowRuntimeExAndDefault>();
}
