package android.view;

public class View {
    public static final int SYSTEM_UI_FLAG_VISIBLE = 0;
    public static final int SYSTEM_UI_FLAG_HIDE_NAVIGATION = 2;
    public static final int SYSTEM_UI_FLAG_FULLSCREEN = 4;
    public static final int SYSTEM_UI_FLAG_IMMERSIVE_STICKY = 0x1000;

    public native void setFitsSystemWindows(boolean fits);

    public native void setSystemUiVisibility(int flags);
}
