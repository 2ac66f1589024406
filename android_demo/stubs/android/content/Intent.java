package android.content;

import android.net.Uri;

public class Intent {
    public static final String ACTION_GET_CONTENT = "android.intent.action.GET_CONTENT";
    public static final String CATEGORY_OPENABLE = "android.intent.category.OPENABLE";
    public static final String EXTRA_ALLOW_MULTIPLE = "android.intent.extra.ALLOW_MULTIPLE";

    public Intent(String action) {}

    public native ClipData getClipData();

    public native Uri getData();

    public native Intent addCategory(String category);

    public native Intent setType(String type);

    public native Intent putExtra(String name, boolean value);
}
