package android.content;

import android.content.res.AssetManager;

public abstract class Context {
    public native AssetManager getAssets();

    public native int checkSelfPermission(String permission);
}
