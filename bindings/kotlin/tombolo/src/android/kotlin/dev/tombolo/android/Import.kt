package dev.tombolo.android

import android.content.Context

/** The name that Amplify DataStore gives its file on Android. */
private const val AMPLIFY_FILE = "AmplifyDatastore.db"

/**
 * Where Amplify DataStore has kept this app's records: what [dev.tombolo.Tombolo.open] takes as `importDatastore`. Whether there is such a
 * file makes no difference there.
 */
public fun amplifyDatastorePath(context: Context): String = context.getDatabasePath(AMPLIFY_FILE).path
